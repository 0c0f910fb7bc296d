"""What people get wrong: a clear error that names the field and what to do; nothing lost, nothing minted. One or two of
each kind: tests/unit has them all.
"""

import json
from typing import Any

import pytest

from tests.integration.world import CREDENTIALS, TOKEN, Stage
from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD

COLON_EMAIL = "service:account@example.com"


@pytest.mark.parametrize(
    ("credentials", "named"),
    [
        ("", "never set"),
        ("{not json", "not valid JSON"),
        ({"email": DEFAULT_EMAIL}, "'password'"),
        ({"email": COLON_EMAIL, "password": DEFAULT_PASSWORD}, "colon"),
        ({"email": f"{DEFAULT_EMAIL}\n", "password": DEFAULT_PASSWORD}, "control character"),
    ],
)
def test_bad_credentials_are_named_and_mended(credentials: Any, named: str) -> None:
    with Stage(credentials=credentials) as world:
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


@pytest.mark.parametrize("base_url", ["http://enterprise.personr.co/api/1.1/wf", "nonsense"])
def test_a_vendor_address_that_is_not_https_sends_nothing(base_url: str) -> None:
    with Stage(environment={"PERSONR_BASE_URL": base_url}) as world:
        result = world.tick()
        assert result.error_type == "ConfigurationError", result
        assert "PERSONR_BASE_URL" in result.problem["message"]
        assert world.vendor_calls == 0
        assert world.stored is None


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"froce": True}, "froce"),
        ({"force": "yes"}, "force"),
        (None, "object"),
    ],
)
def test_a_bad_refresh_event_is_an_invalid_request(world: Stage, event: Any, named: str) -> None:
    result = world.refresh.invoke(event)
    assert result.error_type == "InvalidRequest", result
    assert named in result.problem["message"]
    assert world.wire.calls == []


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"min_second": 1}, "min_second"),
        ({"min_seconds": -1}, "min_seconds"),
    ],
)
def test_a_bad_vend_event_is_an_invalid_request(world: Stage, event: Any, named: str) -> None:
    world.mint_first()
    result = world.vend.invoke(event)
    assert result.error_type == "InvalidRequest", result
    assert named in result.problem["message"]
    assert world.wire.calls == []


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
