"""What the two secrets hold is written one way, and read back without trust."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.made_up import MINUTE, NOW, SECRET, VERSION, intent, token
from token_vending.errors import ConfigurationError
from token_vending.records import read_credentials, read_record, write_intent, write_token
from token_vending.token import History, Intent, Token

REMOVED = object()
HISTORY = {"format", "caller_mints", "failures", "failing_since"}
TOKEN_FIELDS = {
    *("access_token", "token_type", "issued_at", "expires_at", "user_id", "credentials_version"),
    *("reason", "run", "suspect_until"),
}


def stored(**changes: object) -> str:
    fields = json.loads(write_token(token(suspect_until=NOW))) | changes
    return json.dumps({name: value for name, value in fields.items() if value is not REMOVED})


@pytest.mark.parametrize(
    "written",
    [
        token(),
        token(suspect_until=NOW + MINUTE, user_id=None),
        token(history=History((NOW - MINUTE, NOW), 3, NOW)),
        token(reason="", run=""),
        token(reason="by hand (for a test)"),
        token(secret="tökèn \N{KEY} with spaces"),
    ],
)
def test_a_token_is_read_as_it_was_written(written: Token) -> None:
    assert read_record(VERSION, write_token(written)) == written


def test_a_token_has_the_contracts_fields() -> None:
    assert set(json.loads(write_token(token()))) == TOKEN_FIELDS | HISTORY


def test_an_intent_is_read_as_it_was_written_and_holds_no_token() -> None:
    written = intent(attempt="drawn", history=History((NOW - MINUTE,), 12, NOW - MINUTE))
    text = write_intent(written)
    assert read_record(intent().version, text) == written
    assert set(json.loads(text)) == {"intent", "started_at", "reason", "attempt", *HISTORY}


@pytest.mark.parametrize("started_at", [None, 5, "yesterday", "2026-11-24T02:15:00"])
def test_an_intent_whose_start_cannot_be_read_is_still_an_intent(started_at: object) -> None:
    text = json.dumps({"intent": "run-1", "started_at": started_at})
    assert read_record(VERSION, text) == Intent(VERSION, "run-1", None, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("access_token", "issued_at", "expires_at", "credentials_version")
            for value in (REMOVED, None, "", 5, [], {})
        ),
        ("token_type", "Basic"),
        *(("issued_at", value) for value in ("2026-11-24", "2026-11-24T02:15:00")),
        *(("expires_at", value) for value in ("soon", "9999-12-31T23:59:59-23:59")),
        *(("suspect_until", value) for value in ("soon", 5)),
    ],
)
def test_a_field_that_is_missing_or_cannot_be_used_is_named(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=repr(name)):
        read_record(VERSION, stored(**{name: value}))


@pytest.mark.parametrize(
    "changes", [{"run": REMOVED}, {"user_id": 5}, {"reason": None}, {"token_type": REMOVED}]
)
def test_what_is_only_told_to_people_may_be_missing(changes: dict[str, Any]) -> None:
    assert isinstance(read_record(VERSION, stored(**changes)), Token)


@pytest.mark.parametrize(
    "text", [None, " ", "a token pasted by hand", "[]", "null", "5", "[" * 100_000, "{}"]
)
def test_a_secret_that_is_something_else_is_a_configuration_error(text: str | None) -> None:
    with pytest.raises(ConfigurationError, match=VERSION):
        read_record(VERSION, text)


def test_no_value_of_a_broken_record_is_shown() -> None:
    for text in (stored(issued_at="soon"), SECRET, json.dumps([SECRET]), stored(token_type=SECRET)):
        with pytest.raises(ConfigurationError) as caught:
            read_record(VERSION, text)
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "changes",
    [
        dict.fromkeys(("caller_mints", "failures", "failing_since"), REMOVED),
        {"caller_mints": "x", "failures": -1, "failing_since": 5},
        {"caller_mints": [1, None, "soon"], "failures": 1e3, "failing_since": "9999-12-31T23:59:59-23:59"},
        {"caller_mints": {}, "failures": 10**9, "failing_since": []},
    ],
)
def test_a_history_that_cannot_be_read_costs_no_token(changes: dict[str, Any]) -> None:
    read = read_record(VERSION, stored(**changes))
    assert isinstance(read, Token)
    assert read.history == History()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*json.loads(stored()), "intent", "started_at"]), json_values))
def test_nothing_but_a_configuration_error_comes_of_an_edit(changes: dict[str, Any]) -> None:
    try:
        read = read_record(VERSION, stored(**changes))
    except ConfigurationError as error:
        assert SECRET not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(read, Token | Intent)


# Credentials --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ('{"email": "a@example.com", "password": "p:w \\u00e4"}', "a@example.com"),
        ('{"username": "a", "password": "p:w ä"}', "a"),
        ('{"username": "a", "email": "e", "password": "p:w ä", "host": "x"}', "e"),
    ],
)
def test_credentials_are_read_with_email_before_username(text: str, email: str) -> None:
    read = read_credentials("v", text)
    assert (read.version, read.account) == ("v", "")
    assert read.fields == {"email": email, "password": "p:w ä"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "email"),
        ({"email": "a"}, "password"),
        ({"password": "b"}, "email"),
        *(({"email": email, "password": "b"}, "email") for email in ("", " ", None, "a:b", "a\n")),
        ({"email": None, "username": "a", "password": "b"}, "email"),
        ({"username": 5, "password": "b"}, "username"),
        *(
            ({"email": "a", "password": password}, "password")
            for password in (5, "hunter\r\n", "hunter\x7f", "\ud800hunter")
        ),
    ],
)
def test_credentials_that_cannot_be_sent_are_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=repr(named)) as caught:
        read_credentials("v", json.dumps(fields))
    assert "put-secret-value" in caught.value.detail
    assert "hunter" not in caught.value.detail


@pytest.mark.parametrize("text", [None, "", "a:b", '"a"', "[]", '{"email": "a", "password": "hunter"'])
def test_credentials_that_are_no_json_object_are_refused_without_showing_them(text: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_credentials("v", text)
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_neither_repr_shows_a_secret() -> None:
    read = read_credentials("v", '{"email": "a@example.com", "password": "hunter"}')
    assert "hunter" not in repr(read)
    assert "a@example.com" not in repr(read)
    assert SECRET not in repr(token())
    assert token().fingerprint in repr(token())
