"""What is made of an issuer's answer: a token, or an error that says whether it may have minted."""

import json
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from tests.kit.descriptions import BUILT_IN, descriptions
from tests.kit.issuer import answer_of, success_of
from tests.kit.personr.scenarios import OMIT
from tests.kit.personr.server import INVALID_LOGIN
from token_vending.adapters.exchange import Answer
from token_vending.adapters.issuer import LONGEST_LIFETIME, DescribedIssuer
from token_vending.adapters.login_request import basic_authorization
from token_vending.credentials import Credentials
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    MintError,
    TokenVendingError,
    VendorProtocolError,
    VendorUnavailable,
)
from token_vending.issuers import Condition, Description
from token_vending.ports import Minted

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PERSONR = BUILT_IN["personr"]
SECRET = "Hunter2_Secret"
TOKEN = "the-minted-token-0123456789"
MANY = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
AMBIGUOUS, DEFINITE = True, False


def made_of(
    description: Description, status: int, body: str | bytes = b"", **headers: str
) -> Minted | TokenVendingError:
    """The token or the error. No error shows the credentials or the token."""
    credentials = Credentials("v", {field.name: SECRET for field in description.fields})
    content = body.encode() if isinstance(body, str) else body
    issuer = DescribedIssuer(description, "https://login.example.com", clock=lambda: NOW)
    try:
        return issuer.read(Answer(status, HTTPHeaderDict(headers), content), credentials)
    except TokenVendingError as error:
        shown = "".join(traceback.format_exception(error))
        basic = basic_authorization(description, credentials.fields).removeprefix("Basic ")
        assert not any(text and text in shown for text in (SECRET, TOKEN, basic))
        return error


def failure(status: int, body: str = "", **headers: str) -> TokenVendingError:
    """Personr's."""
    error = made_of(PERSONR, status, body, **headers)
    assert isinstance(error, TokenVendingError)
    return error


# A success -----------------------------------------------------------------------------------------------


UNUSABLE: list[object] = [
    *(OMIT, None, 0, -1, 1.5, True, [], {}, 10**12, 1e300),
    *("", "soon", "1e9", "9" * 400, "٣", "2026-11-25T12:01:30Z"),
]


@pytest.mark.parametrize(
    ("unit", "stated", "seconds"),
    [
        *(("seconds", stated, 3600) for stated in (3600, "3600", " 3600 ", 3600.0)),
        ("seconds", 1, 1),
        ("milliseconds", "90000", 90),
        ("minutes", 2, 120),
        ("hours", 1.0, 3600),
        ("days", 1, 86_400),
        ("date", "2026-11-25T12:01:30.000Z", 90),
        ("date", "2026-11-25T13:01:30+01:00", 90),
        ("epoch_seconds", int(NOW.timestamp()) + 90, 90),
        ("epoch_milliseconds", (int(NOW.timestamp()) + 90) * 1000, 90),
        *(("seconds", stated, None) for stated in UNUSABLE),
        ("date", "2026-11-25T12:01:30", None),
        ("date", "2026-11-25T11:59:59Z", None),
        ("date", 90, None),
        ("days", 3661, None),
        ("epoch_seconds", 90, None),
        ("epoch_seconds", (int(NOW.timestamp()) + 90) * 1000, None),
    ],
)
def test_a_lifetime_that_cannot_be_used_is_the_documented_one_with_a_warning(
    unit: str, stated: object, seconds: int | None
) -> None:
    minted = made_of(PERSONR._replace(unit=unit), 200, success_of(PERSONR, TOKEN, stated))
    assert isinstance(minted, Minted)
    assert minted.access_token == TOKEN
    assert minted.lifetime == (timedelta(days=365) if seconds is None else timedelta(seconds=seconds))
    assert (minted.warning is None) is (seconds is not None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@MANY
@given(descriptions, json_values | st.just(OMIT), st.integers(200, 299), st.integers(300, 999))
def test_a_token_in_its_place_is_taken_from_every_success_and_from_nothing_else(
    description: Description, stated: object, success: int, other: int
) -> None:
    headers = {description.token.header: TOKEN} if description.token.header else {}
    body = success_of(description, TOKEN, stated)
    minted = made_of(description, success, body, **headers)
    assert isinstance(minted, Minted)
    assert minted.access_token == TOKEN
    assert timedelta(0) < minted.lifetime <= LONGEST_LIFETIME
    assert TOKEN not in repr(minted)
    if minted.warning:
        assert minted.lifetime == description.default_lifetime
        assert TOKEN not in minted.warning
    assert not isinstance(made_of(description, other, body, **headers), Minted)


# Personr's errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, INVALID_LOGIN),
        (400, '{"statusCode":400,"reason":"INVALID_LOGIN_CREDENTIALS"}'),
        (401, '{"reason" : "INVALID_LOGIN_CREDENTIALS",}'),
        (200, '{"status":"error","reason":"INVALID_LOGIN_CREDENTIALS"}'),
    ],
)
def test_personrs_refusal_is_known_by_its_reason_even_in_invalid_json(status: int, body: str) -> None:
    error = failure(status, body)
    assert isinstance(error, CredentialsRefused)
    assert not error.ambiguous


@pytest.mark.parametrize(
    ("status", "body", "error", "ambiguous"),
    [
        *((status, "", VendorUnavailable, DEFINITE) for status in (408, 425, 429, 503)),
        (504, "", VendorUnavailable, AMBIGUOUS),
        (500, '{"reason":"INVALID_LOGIN_CREDENTIALS"}', VendorUnavailable, AMBIGUOUS),
        *(
            (200, body, VendorProtocolError, AMBIGUOUS)
            for body in (
                '{"status":"success","response":{"tok',
                '{"status": "NOT_RUN", "response": {}}',
                '{"response":{"token":""}}',
                '{"response":{"token":5}}',
                '{"response":{"token":"two\\nlines"}}',
                '{"response":[]}',
                "null",
                "[" * 10_000,
            )
        ),
    ],
)
def test_whether_an_answer_of_personr_without_a_token_may_have_minted(
    status: int,
    body: str,
    error: type[MintError],
    ambiguous: bool,  # noqa: FBT001
) -> None:
    raised = failure(status, body)
    assert isinstance(raised, error)
    assert raised.ambiguous is ambiguous


@pytest.mark.parametrize(
    ("status", "body", "location", "told"),
    [
        (404, '{"reason": "NOT_FOUND"}', "", "NOT_FOUND"),
        (400, '{"reason": "WORKFLOW_DISABLED"}', "", "WORKFLOW_DISABLED"),
        (403, "<html>Forbidden</html>", "", "403"),
        (302, "", "https://elsewhere.example.com/mint", "elsewhere.example.com"),
        (302, "", "/relative", "another address"),
        (301, "", f"https://user:{SECRET}@elsewhere.example.com/", "elsewhere.example.com"),
        (307, "", "https://[::1", "another address"),
        (308, "", "https://x\x1b[2J.example.com/", "another address"),
    ],
)
def test_what_an_operator_must_correct_is_a_configuration_error(
    status: int, body: str, location: str, told: str
) -> None:
    error = failure(status, body, Location=location)
    assert isinstance(error, ConfigurationError)
    assert told in error.detail


@pytest.mark.parametrize(
    "reason", ["hunter2", "it is bus|1|2", "lower case", "X" * 65, "A\nB", "", 5, None, ["A"], SECRET.upper()]
)
def test_a_reason_that_is_no_plain_word_or_has_the_password_in_it_is_not_repeated(reason: Any) -> None:
    assert "reason:" not in failure(400, json.dumps({"reason": reason})).detail


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        *((header, None) for header in ("soon", "-5", "1.5", "9" * 12, "")),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ],
)
def test_a_429_says_when_to_come_back_where_its_retry_after_can_be_read(
    header: str, seconds: int | None
) -> None:
    assert failure(429, **{"Retry-After": header}).retry_after == seconds


def test_retry_after_may_be_a_date() -> None:
    moment = datetime.now(UTC) + timedelta(hours=9)
    seconds = failure(429, **{"Retry-After": format_datetime(moment, usegmt=True)}).retry_after
    assert seconds is not None
    assert timedelta(hours=8) < timedelta(seconds=seconds) <= timedelta(hours=9)


# Any issuer's errors -------------------------------------------------------------------------------------


@st.composite
def answers(draw: st.DrawFn, description: Description) -> tuple[int, bytes, dict[str, str]]:
    """Of every kind: a success, what a condition names, an echo of the credentials, anything at all."""
    status = draw(
        st.sampled_from([200, 201, 204, 302, 307, 400, 401, 403, 404, 429, 500, 502, 503])
        | st.integers(200, 999)
    )
    names = st.sampled_from(["Retry-After", "Location", "X-Token"])
    headers = draw(st.dictionaries(names, st.text("ab1 /:.", max_size=9)))
    named = [*description.refused, *description.misconfigured, *description.not_taken_on]
    kinds = [st.binary(max_size=60), json_values.map(lambda value: json.dumps(value).encode())]
    if named:
        answer = answer_of(description, draw(st.sampled_from(named)))
        kinds.append(st.just(answer.body))
        if draw(st.booleans()):
            status = answer.status
    if description.reason:
        echo = Condition(frozenset({"400"}), frozenset({SECRET}))
        kinds.append(st.just(answer_of(description, echo).body))
    return status, draw(st.one_of(kinds)), headers


def reason_of(description: Description, body: bytes) -> Any:
    """An independent reading of the reason, for descriptions whose refusals are JSON."""
    try:
        value = json.loads(body)
        for name in description.reason.names if description.reason else ():
            value = value[int(name) if isinstance(value, list) else name]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return value if description.reason and isinstance(value, str) else None


@MANY
@given(st.data(), descriptions)
def test_only_an_answer_that_the_description_names_is_certain_not_to_have_minted(
    data: st.DataObject, drawn: Description
) -> None:
    description = drawn._replace(destructive=True, reason_in_broken_json=False)
    status, body, headers = data.draw(answers(description))
    result = made_of(description, status, body, **headers)
    # Where both tokens live no failure may have killed one.
    overlapping = made_of(drawn._replace(destructive=False), status, body, **headers)
    assert isinstance(overlapping, Minted) or not getattr(overlapping, "ambiguous", False)
    if isinstance(result, Minted):
        return
    reason = reason_of(description, body)
    says = {
        meaning
        for meaning in ("refused", "misconfigured", "not_taken_on")
        for condition in getattr(description, meaning)
        if not condition.statuses.isdisjoint({str(status), f"{status // 100}xx"})
        and (not condition.reasons or reason in condition.reasons)
    }
    if not says:
        assert isinstance(result, MintError)
        assert result.ambiguous
        return
    assert not getattr(result, "ambiguous", False)
    meanings = {
        CredentialsRefused: "refused",
        ConfigurationError: "misconfigured",
        VendorUnavailable: "not_taken_on",
    }
    assert meanings[type(result)] in says
