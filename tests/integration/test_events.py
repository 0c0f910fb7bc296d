"""Every event in events/ does against the built functions what its name says."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.world import Stage
from tests.kit.runtime import Artefact
from tests.kit.runtime.artefacts import ROOT, build_of_the_sources
from tests.kit.secrets_manager.server import ACCOUNT_ID

EVENTS = ROOT / "events"
EXAMPLE_VERSION = "3f1c2c1e-6a57-4d2b-9d55-0c6f1a9b8e70"
"""The version that the events in the folder name."""


def event(name: str, version: str | None = None) -> Any:
    """Read an event, with this stack's version in place of the one written there."""
    text = (EVENTS / f"{name}.json").read_text()
    return json.loads(text if version is None else text.replace(EXAMPLE_VERSION, version))


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    if build_of_the_sources() is None:
        # `make test` has just built: there, a build that is missing or old is a failure.
        (pytest.fail if os.environ.get("REQUIRE_BUILD") else pytest.skip)("run `make build` first")
    caller = event("http-vend")["requestContext"]["authorizer"]["iam"]["userArn"].split("/")[1]
    environment = {"ALLOWED_CALLERS": f"arn:aws:iam::123456789012:role/{caller}"}
    with Stage(environment=environment, artefact=Artefact.built) as made:
        yield made


def check_tick(world: Stage, name: str = "schedule-tick") -> None:
    for outcome in ("refreshed", "fresh"):
        assert world.refresh.invoke(event(name)).payload["outcome"] == outcome
    assert world.holds()


def check_forced_refresh(world: Stage) -> None:
    world.mint_first()
    mints = world.vendor.mint_count()
    # Without an id of its own the file can be sent again, after the next leak.
    for _ in range(2):
        assert world.refresh.invoke(event("forced-refresh")).payload["outcome"] == "refreshed"
    assert world.vendor.mint_count() == mints + 2


def check_direct_vend(world: Stage) -> None:
    version = world.mint_first()
    assert world.vend.invoke(event("direct-vend")).payload["version"] == version


def check_direct_vend_rejected(world: Stage) -> None:
    version = world.mint_first()
    assert world.vend.invoke(event("direct-vend-rejected")).payload["version"] == version
    result = world.vend.invoke(event("direct-vend-rejected", version))
    assert result.error_type == "TokenUnavailable"
    assert [one.event for one in world.lambda_service.invocations] == [{"rejected_version": version}]


def check_http_vend(world: Stage) -> None:
    version = world.mint_first()
    answer = world.request(event("http-vend")).payload
    assert answer["statusCode"] == 200, answer
    assert answer["headers"]["ETag"] == f'"{version}"'
    assert answer["headers"]["Cache-Control"] == "no-store"
    assert json.loads(answer["body"])["access_token"] == world.stored_token


def check_http_conditional(world: Stage) -> None:
    version = world.mint_first()
    assert world.request(event("http-conditional")).payload["statusCode"] == 200
    assert world.request(event("http-conditional", version)).payload["statusCode"] == 304


def check_http_rejection(world: Stage) -> None:
    version = world.mint_first()
    assert world.request(event("http-rejection")).payload["statusCode"] == 200
    answer = world.request(event("http-rejection", version)).payload
    assert answer["statusCode"] == 503
    assert int(answer["headers"]["Retry-After"]) > 0
    assert json.loads(answer["body"])["error"] == "TokenUnavailable"


CHECKS: dict[str, Callable[[Stage], None]] = {
    "schedule-tick": check_tick,
    "plain-tick": lambda world: check_tick(world, "plain-tick"),
    "forced-refresh": check_forced_refresh,
    "direct-vend": check_direct_vend,
    "direct-vend-rejected": check_direct_vend_rejected,
    "http-vend": check_http_vend,
    "http-conditional": check_http_conditional,
    "http-rejection": check_http_rejection,
}


@pytest.mark.parametrize("name", sorted(path.stem for path in EVENTS.glob("*.json")))
def test_the_event_does_what_its_name_says(world: Stage, name: str) -> None:
    CHECKS[name](world)


def test_a_principal_that_is_not_listed_is_refused(world: Stage) -> None:
    world.mint_first()
    stranger = event("http-vend")
    arn = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/someone-else/session"
    stranger["requestContext"]["authorizer"]["iam"]["userArn"] = arn
    answer = world.request(stranger).payload
    assert answer["statusCode"] == 403
    assert world.wire.calls == []
    assert any(record.get("audit", {}).get("caller") == arn for record in world.vend.log_records)
