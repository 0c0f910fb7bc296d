import os
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from copy import replace
from datetime import datetime
from typing import override
from unittest.mock import patch
from urllib.parse import quote

import botocore.loaders
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import ContainerMetadataFetcher

from tests.kit.secrets_manager.server import SecretsManager
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response
from tests.unit.made_up import token
from token_vending import wiring
from token_vending.adapters import signed_aws
from token_vending.adapters.signed_aws import SignedAws, SignedSecretReader
from token_vending.errors import StoreUnavailable
from token_vending.records import write_token

# Connections are kept for as long as the process lives.
pytestmark = [pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}

ARN = "arn:aws:lambda:eu-west-1:111122223333:function:refresh:live"


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
        running.create("token", write_token(token()))
        yield running


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    # botocore's own has taken `time.sleep` for a default argument.
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    return taken


def reader(
    secrets: Troubled, keys: dict[str, str] = KEYS, *, attempts: int = signed_aws.ATTEMPTS
) -> SignedSecretReader:
    aws = SignedAws({**keys, "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url})
    return SignedSecretReader(aws, "token", attempts=attempts)


def throttled() -> Response:
    return Response.of_json({"__type": "ThrottlingException", "Message": "slow down"}, 400)


def test_a_token_is_read_as_it_lies_there(secrets: Troubled) -> None:
    version = secrets.put("token", write_token(token()))
    assert reader(secrets).read_current() == replace(token(), version=version)


def test_a_secret_that_is_not_there_holds_nothing(secrets: Troubled) -> None:
    secrets.empty("token")
    assert reader(secrets).read_current() is None


@pytest.mark.parametrize("session", ["session/token+==", None])
@pytest.mark.parametrize("url", ["https://secretsmanager.eu-west-1.amazonaws.com/", "http://127.0.0.1:4566/"])
@pytest.mark.parametrize("path", ["", f"2015-03-31/functions/{quote(ARN, safe='')}/invocations"])
def test_the_signature_is_the_one_that_botocore_makes(url: str, path: str, session: str | None) -> None:
    keys = KEYS | ({"AWS_SESSION_TOKEN": session} if session else {})
    headers = {"X-Amz-Target": "secretsmanager.GetSecretValue", "Content-Type": "application/x-amz-json-1.1"}
    body = '{"SecretId": "tökèn"}'.encode()
    ours = SignedAws(keys)._sign("secretsmanager", url + path, headers, body)
    theirs = AWSRequest("POST", url + path, headers, body)
    credentials = Credentials(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], session)
    signer = SigV4Auth(credentials, "secretsmanager", "eu-west-1")
    moment = datetime.strptime(f"{ours['X-Amz-Date']}+0000", "%Y%m%dT%H%M%SZ%z")
    with patch("botocore.auth.get_current_datetime", lambda: moment):
        signer.add_auth(theirs)
    assert ours["Authorization"] == theirs.headers["Authorization"]
    assert ours.get("X-Amz-Security-Token") == session


@pytest.mark.parametrize("trouble", [throttled(), Response(500, b"oops"), Response(503, b"")])
def test_what_passes_by_itself_is_tried_again_after_a_pause(
    trouble: Response, secrets: Troubled, pauses: list[float]
) -> None:
    secrets.first = [trouble, trouble]
    assert reader(secrets).read_current()
    assert secrets.asked == 3
    assert len(pauses) == 2
    assert all(0 <= pause <= 0.1 * 2**number for number, pause in enumerate(pauses))


def test_a_signed_call_gives_up_after_as_many_attempts_as_agreed(
    secrets: Troubled, pauses: list[float]
) -> None:
    secrets.first = [throttled()] * 5
    with pytest.raises(StoreUnavailable, match="ThrottlingException"):
        reader(secrets, attempts=2).read_current()
    assert secrets.asked == 2


DENIED = Response.of_json({"__type": "prefix#AccessDeniedException", "Message": "no"}, 400)
NO_SUCCESSES = [Response(200, body) for body in (b"", b"<html>", b"[]", b"{}", b"null")]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (DENIED, "AccessDenied"),
        (Response(307, b"", {"Location": "/elsewhere"}), "HTTP status 307"),
        *((answer, "GetSecretValue answered without VersionId") for answer in NO_SUCCESSES),
    ],
)
def test_what_does_not_pass_by_itself_is_not_tried_again(
    answer: Response, told: str, secrets: Troubled
) -> None:
    secrets.first = [answer]
    with pytest.raises(StoreUnavailable, match=told):
        reader(secrets).read_current()
    assert secrets.asked == 1


def test_a_service_that_is_not_there_is_unavailable(pauses: list[float]) -> None:
    with Troubled() as gone:
        signed = reader(gone)
    with pytest.raises(StoreUnavailable, match="no usable answer"):
        signed.read_current()
    assert len(pauses) == 2


def test_no_pause_comes_from_a_generator_with_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would repeat itself in every copy of a snapshot, whoever has seeded it and when."""
    variables = {
        "TOKEN_SECRET_ID": "token",
        "CREDENTIALS_SECRET_ID": "credentials",
        "PERSONR_BASE_URL": "https://vendor.invalid/api/1.1/wf",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for jitter in (signed_aws._jitter, wiring.build_refresher().jitter):
        assert isinstance(getattr(jitter, "__self__", None), random.SystemRandom)


def test_in_each_region_of_each_partition_a_service_has_the_address_that_botocore_gives_it() -> None:
    partitions = botocore.loaders.create_loader().load_data("partitions")["partitions"]
    regions = {
        region: partition["outputs"]["dnsSuffix"]
        for partition in partitions
        for region in partition["regions"]
        if not region.endswith("-global")
    }
    assert len(regions) > 40
    for region, suffix in regions.items():
        aws = SignedAws({**KEYS, "AWS_REGION": region})
        for service in ("secretsmanager", "lambda"):
            assert aws._endpoint(service) == f"https://{service}.{region}.{suffix}"


def test_what_fetches_the_keys_of_a_restored_copy_is_imported_before_the_snapshot_only() -> None:
    program = (
        "import sys; from token_vending.adapters.signed_aws import SignedAws\n"
        "for kind in ('on-demand', 'provisioned-concurrency', 'snap-start'):\n"
        "    SignedAws({'AWS_LAMBDA_INITIALIZATION_TYPE': kind})\n"
        "    print('botocore.credentials' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert said.stdout.split() == ["False", "False", "True"]


class Endpoint(LoopbackServer):
    """Where a function under SnapStart gets its keys from, answering as told."""

    answer = Response(500, b"")

    @override
    def handle(self, request: Request) -> Response:
        return self.answer


SECRETIVE = (
    '{"AccessKeyId": "A", "SecretAccessKey": "secret-of-the-endpoint", "Token": "t", "Expiration": "soon"}'
)


@pytest.mark.parametrize(
    "answer",
    [
        Response(500, b"secret-of-the-endpoint"),
        Response(200, b"secret-of-the-endpoint"),
        Response(200, b"[]"),
        Response(200, b'{"AccessKeyId": "secret-of-the-endpoint"}'),
        Response(200, SECRETIVE.encode()),
    ],
    ids=["error", "no JSON", "no object", "fields missing", "no time"],
)
def test_keys_that_cannot_be_fetched_make_the_store_unavailable_and_nothing_is_repeated(
    answer: Response, secrets: Troubled, pauses: list[float]
) -> None:
    with Endpoint() as endpoint:
        endpoint.answer = answer
        variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint.url}/credentials"}
        with pytest.raises(StoreUnavailable, match="could not be fetched") as caught:
            reader(secrets, variables).read_current()
    assert caught.value.retry_after
    assert "secret-of-the-endpoint" not in "".join(traceback.format_exception(caught.value))
    assert secrets.asked == 0


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "has no AWS credentials"),
        (
            {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://198.51.100.7/credentials"},
            "credentials could not be fetched",
        ),
    ],
    ids=["no endpoint", "one that must not be asked"],
)
def test_without_keys_the_store_is_unavailable(
    variables: dict[str, str], told: str, secrets: Troubled
) -> None:
    with pytest.raises(StoreUnavailable, match=told):
        reader(secrets, variables).read_current()
