import random
import time
from collections.abc import Iterator
from typing import override

import pytest
from botocore.exceptions import ClientError

from tests.stand_ins.loopback import Request, Response
from tests.stand_ins.secrets_manager import SecretsManager
from token_vending.adapters import signed_aws
from token_vending.adapters.signed_aws import SignedAws, SignedSecretsManager
from token_vending.errors import StoreUnavailable

KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}


class Troubled(SecretsManager):
    """Answers as told before it answers as it should."""

    def __init__(self) -> None:
        super().__init__()
        self.first: list[Response] = []
        self.asked = 0

    @override
    def handle(self, request: Request) -> Response | None:
        self.asked += 1
        return self.first.pop(0) if self.first else super().handle(request)


@pytest.fixture
def secrets() -> Iterator[Troubled]:
    with Troubled() as running:
        running.create("token", {"access_token": "x"})
        yield running


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def client(secrets: Troubled, attempts: int = 3) -> SignedSecretsManager:
    aws = SignedAws({**KEYS, "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url}, attempts=attempts)
    return SignedSecretsManager(aws)


def throttled() -> Response:
    return Response.of_json({"__type": "ThrottlingException", "Message": "slow down"}, 400)


def test_the_four_operations_answer_what_the_service_says(secrets: Troubled) -> None:
    signed = client(secrets)
    version = signed.get_secret_value(SecretId="token")["VersionId"]
    assert signed.describe_secret(SecretId="token")["VersionIdsToStages"] == {version: ["AWSCURRENT"]}
    new = "11111111-2222-4333-8444-555555555555"
    signed.put_secret_value(
        SecretId="token", SecretString="{}", ClientRequestToken=new, VersionStages=["LABEL"]
    )
    signed.update_secret_version_stage(
        SecretId="token", VersionStage="LABEL", MoveToVersionId=version, RemoveFromVersionId=new
    )
    assert secrets.labels("token")["LABEL"] == version


def test_an_error_of_the_service_is_a_client_error_with_its_code(secrets: Troubled) -> None:
    with pytest.raises(ClientError) as caught:
        client(secrets).get_secret_value(SecretId="no-such-secret")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize("trouble", [throttled(), Response(500, b"oops"), Response(503, b"")])
def test_what_passes_by_itself_is_tried_again_after_a_pause(
    trouble: Response, secrets: Troubled, pauses: list[float]
) -> None:
    secrets.first = [trouble, trouble]
    assert client(secrets).get_secret_value(SecretId="token")["SecretString"]
    assert secrets.asked == 3
    assert len(pauses) == 2
    assert all(0 <= pause <= 0.1 * 2**number for number, pause in enumerate(pauses))


def test_it_gives_up_after_as_many_attempts_as_agreed(secrets: Troubled, pauses: list[float]) -> None:
    secrets.first = [throttled()] * 5
    with pytest.raises(ClientError):
        client(secrets, attempts=2).get_secret_value(SecretId="token")
    assert secrets.asked == 2


def test_a_refusal_is_not_tried_again(secrets: Troubled, pauses: list[float]) -> None:
    secrets.refuse("GetSecretValue")
    with pytest.raises(ClientError):
        client(secrets).get_secret_value(SecretId="token")
    assert secrets.asked == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null"])
def test_a_success_that_is_no_answer_of_the_services_is_no_success(body: bytes, secrets: Troubled) -> None:
    secrets.first = [Response(200, body)]
    with pytest.raises(StoreUnavailable, match="DescribeSecret"):
        client(secrets).describe_secret(SecretId="token")


def test_a_service_that_is_not_there_is_unavailable(pauses: list[float]) -> None:
    with Troubled() as gone:
        signed = client(gone)
    with pytest.raises(StoreUnavailable, match="no usable answer"):
        signed.get_secret_value(SecretId="token")
    assert len(pauses) == 2


def test_redirects_are_not_followed(secrets: Troubled) -> None:
    secrets.first = [Response(307, b"", {"Location": secrets.url + "/elsewhere"})]
    with pytest.raises(ClientError):
        client(secrets).get_secret_value(SecretId="token")
    assert secrets.asked == 1


def test_two_copies_of_one_process_draw_different_pauses() -> None:
    # A generator with a seed would repeat itself in every copy of a snapshot.
    drawn = []
    for _ in range(2):
        random.seed(1)
        drawn.append(signed_aws._jitter(0, 1))
    assert drawn[0] != drawn[1]
