"""What people get wrong: a clear error that names the field and what to do; nothing lost, nothing minted. One or two of
each kind: tests/unit has them all.
"""

import json
from typing import Any

import pytest

from tests.integration.world import CREDENTIALS, TOKEN, Stage
from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD


@pytest.mark.parametrize(
    ("credentials", "named"),
    [
        ("", "never set"),
        ("{not json", "not valid JSON"),
        ({"email": DEFAULT_EMAIL}, "'password'"),
        ({"email": f"{DEFAULT_EMAIL}\n", "password": DEFAULT_PASSWORD}, "control character"),
        ({"email": "service:account@example.com", "password": DEFAULT_PASSWORD}, "colon"),
    ],
)
def test_bad_credentials_are_named_and_mended(world: Stage, credentials: Any, named: str) -> None:
    world.secrets.empty(CREDENTIALS)
    if credentials:
        world.secrets.put(CREDENTIALS, credentials)
    result = world.tick()
    assert result.error_type == "ConfigurationError", result
    assert named in result.problem["message"]
    assert "put-secret-value" in result.problem["message"]
    assert DEFAULT_PASSWORD not in result.error_message
    assert world.vendor_calls == 0
    assert world.stored is None
    world.secrets.put(CREDENTIALS, {"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD})
    assert world.tick().payload["outcome"] == "refreshed"
    assert world.holds()


@pytest.mark.parametrize("edited", ["oops", json.dumps({"access_token": "x"})])
def test_a_token_secret_edited_by_hand_is_reported_and_kept(world: Stage, edited: str) -> None:
    version = world.mint_first()
    edited_version = world.secrets.put(TOKEN, edited)
    before = world.secrets.snapshot()
    for result in (world.tick(), world.tick(rejected_version=edited_version)):
        assert result.error_type == "ConfigurationError", result
        assert "token secret" in result.problem["message"]
        assert "force" in result.problem["message"]
    assert world.ask().error_type == "ConfigurationError"
    assert world.vendor_calls == 0
    assert world.secrets.snapshot() == before
    # The mend that the message names.
    assert world.tick(force=True).payload["outcome"] == "refreshed"
    assert world.holds()
    assert world.version not in (version, edited_version)


def test_refused_credentials_are_sent_once(world: Stage) -> None:
    world.vendor.set_password("another one")
    requests = len(world.vendor.mint_requests)
    assert world.tick().error_type == "CredentialsRefused"
    assert world.tick().payload["outcome"] == "refused"
    assert world.tick().payload["outcome"] == "refused"
    assert len(world.vendor.mint_requests) - requests == 1
    world.secrets.put(CREDENTIALS, {"email": DEFAULT_EMAIL, "password": "another one"})
    assert world.tick().payload["outcome"] == "refreshed"
    assert world.holds()
