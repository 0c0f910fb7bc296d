from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_client import (
    CallerNotAllowed,
    ConfigurationError,
    InvalidRequest,
    TokenClientError,
    TokenUnavailable,
    UnexpectedAnswer,
    VendingUnavailable,
)
from token_client._wire import function_error, parse_answer, problem

SECRET = "bus|1700000000000x123|secret"
ANSWER: dict[str, Any] = {
    "access_token": SECRET,
    "token_type": "Bearer",
    "expires_in": 31_000_000,
    "expires_at": "2030-01-01T12:00:00Z",
    "version": "0d2f5f0e-7c0f-4b4e-9d0b-3f6f5a1c2b3d",
    "cache_seconds": 300,
}


def test_a_vend_answer_is_read_and_fields_of_a_newer_function_ignored() -> None:
    answer = parse_answer(json.dumps({**ANSWER, "scope": "everything"}))

    assert answer.token.access_token() == SECRET
    assert answer.token.version == ANSWER["version"]
    assert answer.token.expires_at == datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert (answer.expires_in, answer.cache_seconds) == (31_000_000, 300)


NOT_TEXT: list[Any] = [None, [], {}, True, 5]
NOT_OF_ITS_KIND: dict[str, list[Any]] = {
    "access_token": [*NOT_TEXT, "", "two\r\nlines", "caf\u00e9"],
    "token_type": [*NOT_TEXT, "", "MAC"],
    "expires_in": [None, [], {}, True, "300", -1, float("nan"), float("inf"), 1e300],
    "expires_at": [
        *NOT_TEXT,
        "",
        "tomorrow",
        "2030-01-01T12:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
    "version": [*NOT_TEXT, "", "two\r\nlines", "caf\u00e9", "\ud800", "v" * 257],
    "cache_seconds": [None, [], {}, True, "300", -1, float("nan"), float("inf"), 1e300],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in NOT_OF_ITS_KIND.items() for value in values]
)
def test_a_field_that_is_not_of_its_kind_is_refused_and_nothing_quoted(name: str, value: object) -> None:
    with pytest.raises(UnexpectedAnswer) as caught:
        parse_answer(json.dumps({**ANSWER, name: value}))

    assert str(caught.value).count(SECRET) == 0
    with pytest.raises(UnexpectedAnswer, match=name):
        parse_answer(json.dumps({key: value for key, value in ANSWER.items() if key != name}))


@pytest.mark.parametrize("body", ["", "null", "[]", "<html>", '"text"', "[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(body: str | bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse_answer(body)


@given(st.binary(max_size=200))
def test_no_answer_raises_anything_else(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse_answer(body)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("TokenUnavailable", TokenUnavailable),
        ("CallerNotAllowed", CallerNotAllowed),
        ("InvalidRequest", InvalidRequest),
        ("ConfigurationError", ConfigurationError),
        ("CredentialsRefused", ConfigurationError),
        ("StoreUnavailable", VendingUnavailable),
        ("VendorUnavailable", VendingUnavailable),
        ("VendorProtocolError", VendingUnavailable),
        ("KeyError", VendingUnavailable),
    ],
)
def test_both_doors_name_an_error_alike(name: str, kind: type[TokenClientError]) -> None:
    told = {"error": name, "message": "why", "retry_after": 7}
    direct = function_error(json.dumps({"errorType": "Exception", "errorMessage": json.dumps(told)}))
    over_http = problem(503, json.dumps({"error": name, "detail": "why", "retry_after": 7}), None)

    for error in (direct, over_http):
        assert type(error) is kind
        assert error.remote_error == name
        assert error.retry_after == 7


TOLD = json.dumps({"error": "TokenUnavailable", "message": "minting", "retry_after": 2})


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"errorType": "Runtime.Unknown", "errorMessage": TOLD}, TokenUnavailable),
        ({"errorType": "InvalidRequest", "errorMessage": "min_seconds"}, InvalidRequest),
        ({"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out"}, VendingUnavailable),
        ({"errorType": "KeyError", "errorMessage": f"'{SECRET}'"}, VendingUnavailable),
        ({"errorType": 5, "errorMessage": ["x"]}, VendingUnavailable),
        (None, VendingUnavailable),
    ],
)
def test_an_error_is_named_by_its_json_message_or_its_type_and_foreign_text_dropped(
    payload: object, kind: type[TokenClientError]
) -> None:
    error = function_error(json.dumps(payload))

    assert type(error) is kind
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    "name", [f"bus|{SECRET}", "two\nlines", "x" * 5000, f"no class name {SECRET}", "\ud800", "caf\u00e9", "1"]
)
def test_a_foreign_error_name_that_is_no_name_is_dropped(name: str) -> None:
    direct = function_error(json.dumps({"errorType": name}))
    told = function_error(json.dumps({"errorMessage": json.dumps({"error": name})}))
    over_http = problem(500, json.dumps({"error": name}), None)

    for error in (direct, told, over_http):
        assert type(error) is VendingUnavailable
        assert error.remote_error == "an error without a name"
        assert name not in repr(error)


def test_the_words_of_an_error_are_shown_on_one_line_and_not_endlessly() -> None:
    error = problem(
        503, json.dumps({"error": "TokenUnavailable", "detail": "a\r\nb\x1b[0m" + "x" * 10_000}), None
    )

    assert str(error).startswith("TokenUnavailable: a??b?[0mxxx")
    assert str(error).isprintable()
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, ConfigurationError),
        (400, UnexpectedAnswer),
        (401, CallerNotAllowed),
        (403, CallerNotAllowed),
        (404, ConfigurationError),
        (429, VendingUnavailable),
        (500, VendingUnavailable),
        (502, VendingUnavailable),
        (504, VendingUnavailable),
    ],
)
def test_a_gateways_own_page_is_judged_by_its_status(status: int, kind: type[TokenClientError]) -> None:
    assert type(problem(status, "<html>Forbidden</html>", None)) is kind


@pytest.mark.parametrize(
    ("in_body", "in_header", "expected"),
    [
        (7, "9", 7),
        (None, "9", 9),
        (0, None, 0),
        (True, None, None),
        (-1, "x", None),
        (None, "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("5", None, 5),
        (None, "9" * 5000, 86_400),
        ("9" * 5000, None, 86_400),
        (10**12, None, 86_400),
        (float("inf"), None, 86_400),
        (float("nan"), None, None),
        (None, "\u0663", None),
        (None, "\u00b3", None),
    ],
)
def test_retry_after_is_taken_from_the_body_first(
    in_body: object, in_header: str | None, expected: float | None
) -> None:
    body = json.dumps({"error": "TokenUnavailable", "retry_after": in_body})

    assert problem(503, body, in_header).retry_after == expected
