"""SnapStart, simulated: the process stops where Lambda takes the snapshot, and goes on as a copy of it does."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any, override

import pytest

from bench.door import Door, FunctionFailed
from bench.variants import HTTP_EVENT
from tests.kit.runtime.artefacts import VEND, Artefact, runtime_client_folder
from tests.kit.runtime.function import lambda_variables
from tests.kit.secrets_manager.server import ACCOUNT_ID, SecretsManager
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

ACCESS_TOKEN = "bus|snapshot-5f2b8c1e9a7d4063-snapshot"
CONTAINER_KEY = "ASIACONTAINER0000000"
CONTAINER_SECRET = "container-secret-key-8d1f0a"
ARN = "arn:aws:lambda:eu-west-1:111122223333:function:vend:live"


class ContainerCredentials(LoopbackServer):
    """Where a function under SnapStart gets its keys from, at any time after the restore."""

    asked = 0
    fails = False
    lifetime = dt.timedelta(hours=6)

    @override
    def handle(self, request: Request) -> Response:
        assert request.headers["authorization"] == "container-authorization"
        self.asked += 1
        if self.fails:
            return Response.of_json({"message": CONTAINER_SECRET}, status=500)
        expiry = (dt.datetime.now(dt.UTC) + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"AccessKeyId": CONTAINER_KEY, "SecretAccessKey": CONTAINER_SECRET}
        return Response.of_json({**keys, "Token": "container-session", "Expiration": expiry})


class WatchedSecretsManager(SecretsManager):
    """Remembers who signed."""

    signed: list[str]

    @override
    def handle(self, request: Request) -> Response | None:
        self.signed.append(request.headers.get("authorization", ""))
        return super().handle(request)


@pytest.fixture
def secrets() -> Iterator[WatchedSecretsManager]:
    with WatchedSecretsManager() as running:
        running.signed = []
        now = dt.datetime.now(dt.UTC)
        times = {"issued_at": now.isoformat(), "expires_at": (now + dt.timedelta(days=100)).isoformat()}
        origin = {"token_type": "Bearer", "credentials_version": "1", "reason": "no_token", "run": "run-1"}
        running.create("token", {"access_token": ACCESS_TOKEN, **times, **origin})
        yield running


@pytest.fixture
def container() -> Iterator[ContainerCredentials]:
    with ContainerCredentials() as running:
        yield running


@pytest.fixture
def snapshot(secrets: WatchedSecretsManager, container: ContainerCredentials) -> Iterator[Door]:
    """The vend function, waiting where the snapshot is taken."""
    changes = {
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{container.url}/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-authorization",
        "CACHE_SECONDS": "0",
        "ALLOWED_CALLERS": f"arn:aws:iam::{ACCOUNT_ID}:role/orders-service",
    }
    with started("snap-start", secrets, **changes) as door:
        door.wait_for_snapshot()
        yield door


def started(kind: str, secrets: WatchedSecretsManager, **changes: str | None) -> Door:
    """The vend function, started as it says, with these changes to its environment; None takes a variable away."""
    variables = {
        **lambda_variables("vend"),
        "AWS_LAMBDA_INITIALIZATION_TYPE": kind,
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
        "TOKEN_SECRET_ID": "token",
        "REFRESH_FUNCTION_NAME": "refresh",
        **changes,
    }
    present = {name: value for name, value in variables.items() if value is not None}
    artefact = Artefact.current(VEND)
    return Door(artefact.task_root, (*artefact.import_paths, runtime_client_folder()), present, arn=ARN)


def test_the_snapshot_holds_no_token_no_keys_and_no_connection(
    snapshot: Door, secrets: WatchedSecretsManager
) -> None:
    assert not snapshot.memory_holds(ACCESS_TOKEN)
    assert not snapshot.memory_holds(CONTAINER_SECRET)
    assert secrets.signed == []
    assert snapshot.connections == 0
    snapshot.restore()
    snapshot.invoke({})
    # The search finds what is there.
    assert snapshot.memory_holds(ACCESS_TOKEN)
    assert snapshot.memory_holds(CONTAINER_SECRET)
    assert snapshot.connections >= 1


def test_a_restored_copy_signs_with_the_keys_it_is_given_then_and_asks_for_them_once(
    snapshot: Door, secrets: WatchedSecretsManager, container: ContainerCredentials
) -> None:
    assert container.asked == 0
    snapshot.restore()
    for _ in range(3):
        payload, _ = snapshot.invoke({})
        assert payload["access_token"] == ACCESS_TOKEN
    assert [f"Credential={CONTAINER_KEY}/" in signed for signed in secrets.signed] == [True] * 3
    assert container.asked == 1


def audits_after(door: Door, length: int) -> list[dict[str, Any]]:
    """The audits of the lines written since the output was that long."""
    lines = door.output[length:].splitlines()
    return [json.loads(line)["audit"] for line in lines if '"audit"' in line]


@pytest.mark.parametrize("event", [{}, HTTP_EVENT], ids=["direct", "http"])
def test_keys_that_cannot_be_renewed_do_not_keep_a_copy_of_the_token_back(
    event: object, snapshot: Door, container: ContainerCredentials
) -> None:
    # Within the time before their end in which botocore insists on new ones.
    container.lifetime = dt.timedelta(minutes=5)
    snapshot.restore()
    snapshot.invoke({})
    container.fails = True
    length = len(snapshot.output)
    answer, _ = snapshot.invoke(event)
    answer = json.loads(answer["body"]) if "body" in answer else answer
    assert answer["access_token"] == ACCESS_TOKEN
    (audit,) = audits_after(snapshot, length)
    assert audit["outcome"] == "handed_out"
    assert "credentials could not be fetched" in audit["warning"]
    assert CONTAINER_SECRET not in snapshot.output


def test_keys_that_cannot_be_fetched_are_an_unavailable_store_at_both_doors(
    snapshot: Door, container: ContainerCredentials
) -> None:
    container.fails = True
    snapshot.restore()
    with pytest.raises(FunctionFailed) as caught:
        snapshot.invoke({})
    error = json.loads(str(caught.value))
    assert error["errorType"] == "StoreUnavailable"
    assert json.loads(error["errorMessage"])["retry_after"] > 0
    answer, _ = snapshot.invoke(HTTP_EVENT)
    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["error"] == "StoreUnavailable"
    assert [audit["outcome"] for audit in audits_after(snapshot, 0)] == ["unavailable"] * 2
    assert CONTAINER_SECRET not in snapshot.output + str(caught.value) + str(answer)


@pytest.mark.parametrize(
    ("kind", "reads"), [("on-demand", 1), ("provisioned-concurrency", 0), ("snap-start", 0)]
)
def test_init_reads_the_token_only_if_a_request_has_caused_it(
    kind: str, reads: int, secrets: WatchedSecretsManager
) -> None:
    # With keys in the environment for all three, so that nothing but the kind of start decides.
    with started(kind, secrets) as door:
        if kind == "snap-start":
            door.wait_for_snapshot()
        else:
            door.wait_ready()
        assert len(secrets.signed) == reads
        assert door.memory_holds(ACCESS_TOKEN) == bool(reads)
        if reads:
            door.invoke({})
            assert len(secrets.signed) == reads
            assert [audit["cache_hit"] for audit in audits_after(door, 0)] == [True]


def test_a_connection_that_was_cut_while_frozen_is_opened_anew(
    snapshot: Door, secrets: WatchedSecretsManager
) -> None:
    snapshot.restore()
    snapshot.invoke({})
    secrets.stop()
    secrets.start()
    payload, _ = snapshot.invoke({})
    assert payload["access_token"] == ACCESS_TOKEN
