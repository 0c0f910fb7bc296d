"""Events are read strictly, and a re-delivered event is the same run."""

from typing import Any

import pytest

from token_vending.errors import InvalidRequest
from token_vending.requests import (
    MAX_TEXT,
    RefreshRequest,
    VendRequest,
    parse_min_seconds,
    parse_rejection,
)

ENVELOPE = {
    "version": "0",
    "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "111122223333",
    "time": "2026-11-24T02:15:00Z",
    "region": "eu-west-1",
    "resources": [],
    "detail": {},
}


def parse(event: object, default_id: str = "request-1") -> RefreshRequest:
    return RefreshRequest.parse(event, default_id=default_id)


def test_every_field_of_a_refresh_request_is_read() -> None:
    request = parse(
        {"id": "a", "scheduled_time": "2026-11-24T02:15:00Z", "force": True, "rejected_version": "v"}
    )
    assert (request.force, request.rejected_version, request.scheduled_time) == (
        True,
        "v",
        "2026-11-24T02:15:00Z",
    )


UNFILLED = {"id": "<aws.scheduler.execution-id>"}
WITHOUT_AN_ID = {"source": "aws.events", "detail-type": "x", "id": 7}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (({"id": "a"}, "request-1"), ({"id": "a"}, "request-2"), True),
        (({"id": "a"}, "request-1"), ({"id": "b"}, "request-1"), False),
        # Lambda's request id stays the same through its asynchronous retries.
        (({}, "request-1"), ({}, "request-1"), True),
        (({}, "request-1"), ({}, "request-2"), False),
        (({"id": "a", "rejected_version": "v"}, "r"), ({"id": "a", "rejected_version": "w"}, "r"), False),
        ((UNFILLED, "request-1"), (UNFILLED, "request-2"), False),
        ((ENVELOPE, "request-1"), (ENVELOPE, "request-2"), True),
        ((WITHOUT_AN_ID, "request-1"), (WITHOUT_AN_ID, "request-2"), False),
    ],
)
def test_which_deliveries_are_one_run(
    one: tuple[object, str], other: tuple[object, str], *, same: bool
) -> None:
    assert (parse(*one).run == parse(*other).run) is same


@pytest.mark.parametrize("event", [{}, ENVELOPE])
def test_an_empty_event_and_a_classic_rules_envelope_are_plain_ticks(event: dict[str, Any]) -> None:
    request = parse(event)
    assert (request.force, request.rejected_version, request.by_a_person) == (False, None, False)


def test_a_run_id_is_a_plain_word_whatever_the_event_holds() -> None:
    run = parse({"id": '"}\N{RIGHT-TO-LEFT MARK}'[:2] + "x" * 200}).run
    assert run.removeprefix("run-").isalnum()
    assert len(run) == len("run-") + 32


def test_an_attempt_is_known_by_its_event() -> None:
    request, other = parse({"id": "a"}), parse({"id": "b"})
    assert request.made(request.attempt("intent-1"))
    assert request.made(request.attempt("intent-2"))
    assert request.attempt("intent-1") != request.attempt("intent-2")
    assert not other.made(request.attempt("intent-1"))
    assert not request.made(None)


@pytest.mark.parametrize(
    ("event", "by_a_person"),
    [
        ({"force": True}, True),
        ({"force": False}, False),
        ({"rejected_version": "v"}, False),
        ({"force": True, "rejected_version": "v"}, False),
    ],
)
def test_only_a_bare_force_is_a_persons(event: dict[str, Any], by_a_person: bool) -> None:  # noqa: FBT001
    assert parse(event).by_a_person is by_a_person


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"id": ""}, "id"),
        ({"id": 1}, "id"),
        ({"id": None}, "id"),
        ({"id": "x" * (MAX_TEXT + 1)}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"scheduled_time": 5}, "scheduled_time"),
        ({"force": "true"}, "force"),
        ({"force": 1}, "force"),
        ({"force": None}, "force"),
        ({"rejected_version": ""}, "rejected_version"),
        ({"rejected_version": ["v"]}, "rejected_version"),
        ({"Force": True}, "Force"),
        ({"min_seconds": 5}, "min_seconds"),
    ],
)
def test_a_refresh_event_with_a_wrong_field_is_refused_by_name(event: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=repr(named)):
        parse(event)


@pytest.mark.parametrize("event", [None, [], "tick", 0, True, [{"force": True}]])
def test_an_event_that_is_no_object_is_refused(event: object) -> None:
    with pytest.raises(InvalidRequest, match="JSON object"):
        parse(event)
    with pytest.raises(InvalidRequest, match="JSON object"):
        VendRequest.parse(event)


@pytest.mark.parametrize(
    ("event", "hidden"),
    [({"password": "made-up secret"}, "made-up secret"), ({"\x1b[2Jforce": True}, "\x1b")],
)
def test_an_unknown_fields_value_and_its_unprintable_name_are_not_repeated(
    event: dict[str, Any], hidden: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(event)
    assert hidden not in caught.value.detail


def test_the_longest_text_is_accepted() -> None:
    assert parse({"rejected_version": "v" * MAX_TEXT}).rejected_version == "v" * MAX_TEXT


# Vend ---------------------------------------------------------------------------------------------------


def test_a_vend_request_is_read_and_may_be_empty() -> None:
    assert VendRequest.parse({}) == VendRequest(rejected_version=None, min_seconds=0)
    assert VendRequest.parse({"rejected_version": "v", "min_seconds": 60}) == VendRequest("v", 60)


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"min_seconds": -1}, "min_seconds"),
        ({"min_seconds": True}, "min_seconds"),
        ({"min_seconds": 1.5}, "min_seconds"),
        ({"min_seconds": "60"}, "min_seconds"),
        ({"min_seconds": 10**30}, "min_seconds"),
        ({"rejected_version": None}, "rejected_version"),
        ({"force": True}, "force"),
    ],
)
def test_a_vend_request_with_a_wrong_field_is_refused_by_name(event: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=repr(named)):
        VendRequest.parse(event)


def test_a_rejection_names_a_version() -> None:
    assert parse_rejection('{"version": "v"}') == VendRequest(rejected_version="v")


@pytest.mark.parametrize(
    "body",
    [
        None,
        "",
        "version",
        "[]",
        "null",
        "{}",
        '{"version": ""}',
        '{"version": 1}',
        '{"version": "v", "force": true}',
        "[" * 100_000,
    ],
)
def test_a_wrong_rejection_is_refused(body: str | None) -> None:
    with pytest.raises(InvalidRequest):
        parse_rejection(body)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("60", 60), ("31536000", 31_536_000)])
def test_min_seconds_of_a_query(text: str, seconds: int) -> None:
    assert parse_min_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e3", " 1", "٣", "9" * 400, "0x10", "1_000"])
def test_a_wrong_min_seconds_of_a_query_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="min_seconds"):
        parse_min_seconds(text)
