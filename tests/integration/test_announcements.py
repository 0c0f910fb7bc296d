"""The events of a refresh run, as they reach the bus: which, in what form, and what a bad bus changes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, override

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.integration.test_crash_matrix import too_old
from tests.integration.world import VENDOR, Stage
from tests.kit.stand_ins.faults import answer
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
HANGS_SECONDS = 20.0


class Bus(LoopbackServer):
    """EventBridge's PutEvents. `reply` answers in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[dict[str, Any]]] = []
        self.reply: Callable[[Request], Response | None] | None = None

    @override
    def handle(self, request: Request) -> Response | None:
        assert request.headers["x-amz-target"] == "AWSEvents.PutEvents"
        entries = request.json()["Entries"]
        self.calls.append(entries)
        if self.reply is not None:
            return self.reply(request)
        return Response.of_json({"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in entries]})


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Stage, Bus]]:
    with Bus() as bus:
        environment = {"EVENT_BUS_NAME": "default", "AWS_ENDPOINT_URL_EVENTBRIDGE": bus.url}
        with Stage(environment=environment) as world:
            yield world, bus


@pytest.fixture
def stage(shared: tuple[Stage, Bus]) -> Stage:
    world, bus = shared
    world.start_over()
    bus.calls.clear()
    bus.reply = None
    return world


@pytest.fixture
def bus(shared: tuple[Stage, Bus]) -> Bus:
    return shared[1]


def events(bus: Bus) -> dict[str, dict[str, Any]]:
    """Detail type → detail, of the one call there was; each as its schema says."""
    (entries,) = bus.calls
    details = {}
    for entry in entries:
        assert entry["EventBusName"] == "default"
        kind, detail = entry["DetailType"], json.loads(entry["Detail"])
        name = {
            "TokenRefreshed": "token-refreshed",
            "CredentialsRefused": "credentials-refused",
            "TokenMissing": "token-missing",
        }[kind]
        schema = json.loads((SCHEMAS / f"event-{name}.schema.json").read_text())
        event = {
            "source": entry["Source"],
            "detail-type": kind,
            "resources": entry["Resources"],
            "detail": detail,
        }
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(event)
        details[kind] = detail
    return details


def test_a_refresh_is_announced_with_its_version_and_reason_and_a_fresh_tick_makes_three_calls(
    stage: Stage, bus: Bus
) -> None:
    too_old(stage)
    bus.calls.clear()
    result = stage.tick()
    assert result.payload["outcome"] == "refreshed", result
    told = events(bus)["TokenRefreshed"]
    assert stage.stored is not None
    assert told.pop("occurred_at") >= stage.stored["issued_at"]
    assert told == {
        "stack": "integration",
        "version": result.payload["version"],
        "expires_at": result.payload["expires_at"],
        "reason": "too_old",
    }
    assert bus.calls[0][0]["Resources"] == [stage.token_arn]
    # The budget of a refresh, this call included.
    assert stage.store_calls + len(bus.calls) <= 8
    bus.calls.clear()
    stage.wire.reset_log()
    assert stage.tick().payload["outcome"] == "fresh"
    assert (bus.calls, stage.vendor_calls) == ([], 0)
    assert stage.store_calls <= 3


def test_refused_credentials_without_a_token_are_two_events_in_one_call(stage: Stage, bus: Bus) -> None:
    stage.vendor.set_password("another one")
    assert stage.tick().error_type == "CredentialsRefused"
    told = events(bus)
    assert told.keys() == {"CredentialsRefused", "TokenMissing"}
    assert {detail["version"] for detail in told.values()} == {None}
    bus.calls.clear()
    # While they are latched there is still no token, and nothing new about the credentials.
    assert stage.tick().payload["outcome"] == "refused"
    assert events(bus).keys() == {"TokenMissing"}


def test_refused_credentials_with_a_good_token_are_one_event_that_names_it(stage: Stage, bus: Bus) -> None:
    too_old(stage)
    bus.calls.clear()
    stage.vendor.set_password("another one")
    assert stage.tick().error_type == "CredentialsRefused"
    told = events(bus)
    assert told.keys() == {"CredentialsRefused"}
    assert told["CredentialsRefused"]["version"] == stage.version


def test_an_expired_token_that_cannot_be_replaced_is_missing(stage: Stage, bus: Bus) -> None:
    version = stage.mint_first()
    stage.age_token(366 * 86_400)
    bus.calls.clear()
    stage.wire.inject(answer(503), upstream=VENDOR, times=None)
    result = stage.refresh.invoke({}, timeout_seconds=10)
    assert result.error_type == "VendorUnavailable", result
    told = events(bus)
    assert told.keys() == {"TokenMissing"}
    assert (told["TokenMissing"]["version"], told["TokenMissing"]["reason"]) == (version, "VendorUnavailable")


def reset(request: Request) -> None:
    request.connection.reset()


BAD: dict[str, Callable[[Request], Response | None]] = {
    "denied": lambda _: Response.of_json({"__type": "AccessDeniedException", "Message": "no"}, 400),
    "broken": lambda _: Response(500, b"oops"),
    "an entry refused": lambda _: Response.of_json(
        {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "no"}]}
    ),
    "no answer of its": lambda _: Response(200, b"<html>"),
    "reset": reset,
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_bus_is_asked_once_and_changes_no_run(how: str, stage: Stage, bus: Bus) -> None:
    bus.reply = BAD[how]
    lines = stage.refresh.logs.count("events were not delivered")
    assert stage.tick().payload["outcome"] == "refreshed"
    assert stage.holds()
    assert len(bus.calls) == 1
    assert stage.refresh.logs.count("events were not delivered") == lines + 1


def test_a_bus_that_hangs_is_left_long_before_it_answers(stage: Stage, bus: Bus) -> None:
    def hang(_request: Request) -> None:
        stage.wire.stopping.wait(HANGS_SECONDS)

    bus.reply = hang
    # A run that waited would be killed at its timeout, and have failed.
    result = stage.refresh.invoke({}, timeout_seconds=HANGS_SECONDS / 2)
    assert result.payload["outcome"] == "refreshed", result
    assert len(bus.calls) == 1


def test_a_run_with_no_time_to_spare_announces_nothing(stage: Stage, bus: Bus) -> None:
    result = stage.refresh.invoke({}, timeout_seconds=4)
    assert result.payload["outcome"] == "refreshed", result
    assert bus.calls == []
    assert "no time left" in stage.refresh.logs
