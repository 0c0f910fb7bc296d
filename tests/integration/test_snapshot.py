"""SnapStart, simulated: the process stops where Lambda takes the snapshot, and goes on as a copy of it does."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import override

import pytest

from tests.benchmarks.door import Door
from tests.runtime.artefacts import VEND, Artefact, runtime_client_folder
from tests.runtime.function import lambda_variables
from tests.stand_ins.loopback import LoopbackServer, Request, Response
from tests.stand_ins.secrets_manager import SecretsManager

ACCESS_TOKEN = "bus|snapshot-5f2b8c1e9a7d4063-snapshot"
CONTAINER_KEY = "ASIACONTAINER0000000"
CONTAINER_SECRET = "container-secret-key-8d1f0a"
ARN = "arn:aws:lambda:eu-west-1:111122223333:function:vend:live"


class ContainerCredentials(LoopbackServer):
    """Where a function under SnapStart gets its keys from, at any time after the restore."""

    asked = 0

    @override
    def handle(self, request: Request) -> Response:
        assert request.headers["authorization"] == "container-authorization"
        self.asked += 1
        expiry = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Response.of_json(
            {
                "AccessKeyId": CONTAINER_KEY,
                "SecretAccessKey": CONTAINER_SECRET,
                "Token": "container-session",
                "Expiration": expiry,
            }
        )


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
        running.create(
            "token",
            {
                "access_token": ACCESS_TOKEN,
                "token_type": "Bearer",
                "issued_at": (now - dt.timedelta(hours=1)).isoformat(),
                "expires_at": (now + dt.timedelta(days=100)).isoformat(),
                "credentials_version": "1",
                "reason": "no_token",
                "run": "run-1",
            },
        )
        yield running


@pytest.fixture
def container() -> Iterator[ContainerCredentials]:
    with ContainerCredentials() as running:
        yield running


@pytest.fixture
def snapshot(secrets: WatchedSecretsManager, container: ContainerCredentials) -> Iterator[Door]:
    """The vend function, waiting where the snapshot is taken."""
    artefact = Artefact.current(VEND)
    variables = {
        name: value
        for name, value in lambda_variables("vend", 512).items()
        if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    }
    variables |= {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{container.url}/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-authorization",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
        "TOKEN_SECRET_ID": "token",
        "REFRESH_FUNCTION_NAME": "refresh",
        "CACHE_SECONDS": "0",
    }
    paths = (*artefact.import_paths, runtime_client_folder())
    with Door(artefact.task_root, paths, variables, arn=ARN) as door:
        door.wait_for_snapshot()
        yield door


def test_the_snapshot_holds_no_token_and_no_keys(snapshot: Door, secrets: WatchedSecretsManager) -> None:
    assert not snapshot.memory_holds(ACCESS_TOKEN)
    assert not snapshot.memory_holds(CONTAINER_SECRET)
    assert secrets.signed == []
    snapshot.restore()
    snapshot.invoke({})
    # The search finds what is there.
    assert snapshot.memory_holds(ACCESS_TOKEN)
    assert snapshot.memory_holds(CONTAINER_SECRET)


def test_the_snapshot_has_no_open_connection(snapshot: Door) -> None:
    assert snapshot.connections == 0
    snapshot.restore()
    snapshot.invoke({})
    assert snapshot.connections >= 1


def test_a_restored_copy_signs_with_the_keys_it_is_given_then(
    snapshot: Door, secrets: WatchedSecretsManager, container: ContainerCredentials
) -> None:
    assert container.asked == 0
    snapshot.restore()
    payload, _ = snapshot.invoke({})
    assert payload["access_token"] == ACCESS_TOKEN
    assert f"Credential={CONTAINER_KEY}/" in secrets.signed[-1]


def test_the_keys_are_asked_for_once_not_for_every_call(
    snapshot: Door, secrets: WatchedSecretsManager, container: ContainerCredentials
) -> None:
    snapshot.restore()
    for _ in range(3):
        snapshot.invoke({})
    assert len(secrets.signed) == 3
    assert container.asked == 1


def test_a_connection_that_was_cut_while_frozen_is_opened_anew(
    snapshot: Door, secrets: WatchedSecretsManager
) -> None:
    snapshot.restore()
    snapshot.invoke({})
    secrets.stop()
    secrets.start()
    payload, _ = snapshot.invoke({})
    assert payload["access_token"] == ACCESS_TOKEN


def test_a_start_that_a_request_has_caused_reads_the_token_ahead(secrets: WatchedSecretsManager) -> None:
    artefact = Artefact.current(VEND)
    variables = {
        **lambda_variables("vend", 512),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
        "TOKEN_SECRET_ID": "token",
        "REFRESH_FUNCTION_NAME": "refresh",
    }
    paths = (*artefact.import_paths, runtime_client_folder())
    with Door(artefact.task_root, paths, variables, arn=ARN) as door:
        door.wait_ready()
        assert len(secrets.signed) == 1
        payload, _ = door.invoke({})
        assert payload["access_token"] == ACCESS_TOKEN
        assert len(secrets.signed) == 1
        audits = [json.loads(line)["audit"] for line in door.output.splitlines() if '"audit"' in line]
        assert [audit["cache_hit"] for audit in audits] == [True]


def test_a_store_that_fails_while_reading_ahead_is_asked_again_by_the_request(
    secrets: WatchedSecretsManager,
) -> None:
    secrets.refuse("GetSecretValue", times=1)
    artefact = Artefact.current(VEND)
    variables = {
        **lambda_variables("vend", 512),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
        "TOKEN_SECRET_ID": "token",
        "REFRESH_FUNCTION_NAME": "refresh",
    }
    paths = (*artefact.import_paths, runtime_client_folder())
    with Door(artefact.task_root, paths, variables, arn=ARN) as door:
        payload, _ = door.invoke({})
    assert payload["access_token"] == ACCESS_TOKEN
