"""Events are read strictly, and a re-delivered event is the same run."""

from typing import Any

import pytest

from token_vending.errors import InvalidRequest
from token_vending.requests import MAX_TEXT, RefreshRequest, VendRequest, parse_min_seconds

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
UNFILLED = {"id": "<aws.scheduler.execution-id>"}
WITHOUT_AN_ID = {"source": "aws.events", "detail-type": "x", "id": 7}
LONG = "v" * MAX_TEXT


def parse(event: object, default_id: str = "request-1") -> RefreshRequest:
    return RefreshRequest.parse(event, default_id=default_id)


@pytest.mark.parametrize(
    ("event", "force", "rejected_version", "by_a_person"),
    [
        ({}, False, None, False),
        (ENVELOPE, False, None, False),
        ({"force": True}, True, None, True),
        ({"force": False}, False, None, False),
        ({"rejected_version": LONG}, False, LONG, False),
        ({"force": True, "rejected_version": "v"}, True, "v", False),
    ],
)
def test_a_refresh_request_is_read_and_only_a_bare_force_is_a_persons(
    event: dict[str, Any],
    force: bool,  # noqa: FBT001 - a column of the table
    rejected_version: str | None,
    by_a_person: bool,  # noqa: FBT001 - a column of the table
) -> None:
    request = parse(event)
    assert (request.force, request.rejected_version) == (force, rejected_version)
    assert request.by_a_person is by_a_person
    assert request.scheduled_time is None


def test_the_scheduled_time_is_read() -> None:
    event = {"id": "a", "scheduled_time": "2026-11-24T02:15:00Z"}
    assert parse(event).scheduled_time == "2026-11-24T02:15:00Z"


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


def test_a_run_id_is_a_plain_word_whatever_the_event_holds() -> None:
    run = parse({"id": '"}' + "x" * 200}).run
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
    ("name", "value"),
    [
        *(("id", value) for value in ("", 1, None, LONG + "v", "a\nb")),
        ("scheduled_time", 5),
        *(("force", value) for value in ("true", 1, None)),
        *(("rejected_version", value) for value in ("", ["v"], LONG + "v", "v\n", "the token itself")),
        ("Force", True),
        ("min_seconds", 5),
    ],
)
def test_a_refresh_event_with_a_wrong_field_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=repr(name)):
        parse({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("min_seconds", value) for value in (-1, True, 1.5, "60", 10**30)),
        ("rejected_version", None),
        ("force", True),
    ],
)
def test_a_vend_request_with_a_wrong_field_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=repr(name)):
        VendRequest.parse({name: value})


@pytest.mark.parametrize("event", [None, [], "tick", 0, True, [{"force": True}]])
def test_an_event_that_is_no_object_is_refused(event: object) -> None:
    for read in (parse, VendRequest.parse):
        with pytest.raises(InvalidRequest, match="JSON object"):
            read(event)


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


def test_a_vend_request_is_read_and_may_be_empty() -> None:
    assert VendRequest.parse({}) == VendRequest(rejected_version=None, min_seconds=0)
    assert VendRequest.parse({"rejected_version": "v", "min_seconds": 60}) == VendRequest("v", 60)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("60", 60), ("31536000", 31_536_000)])
def test_min_seconds_of_a_query_is_a_whole_number(text: str, seconds: int) -> None:
    """What is refused: tests/unit/test_doors.py."""
    assert parse_min_seconds(text) == seconds
