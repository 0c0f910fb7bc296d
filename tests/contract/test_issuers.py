"""What every issuer keeps, whatever its description: those built in, the examples, and any that may be drawn."""

import json
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from tests.kit.descriptions import BUILT_IN, descriptions
from tests.kit.issuer import IssuerServer, answer_of, success_of
from tests.kit.personr import Reset, Scenario, scenarios
from tests.kit.personr.scenarios import OMIT
from tests.unit.made_up import token
from token_vending.adapters.exchange import MAX_BODY, Answer
from token_vending.adapters.issuer import LONGEST_LIFETIME, DescribedIssuer
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

SECRET = "Hunter2_Secret"
TOKEN = "the-minted-token-0123456789"
MANY = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(params=list(BUILT_IN.values()), ids=list(BUILT_IN))
def server(request: pytest.FixtureRequest) -> Iterator[IssuerServer]:
    with IssuerServer(request.param, lifetime_seconds=86_400) as started:
        yield started


def credentials_of(description: Description) -> Credentials:
    return Credentials("v", {field.name: SECRET for field in description.fields})


def outcome(description: Description, answer: Answer) -> Minted | TokenVendingError:
    """What the product makes of an answer, searched for the credentials."""
    credentials = credentials_of(description)
    try:
        return DescribedIssuer(description, "https://login.example.com").read(answer, credentials)
    except TokenVendingError as error:
        shown = "".join(traceback.format_exception(error))
        assert SECRET not in shown
        assert TOKEN not in shown
        return error


def mint(server: IssuerServer, *, timeout: float = 60.0, wrong: bool = False) -> Minted | TokenVendingError:
    """The same over HTTP."""
    credentials = server.credentials
    if wrong:
        credentials = Credentials("v", {name: f"{SECRET}-{name}" for name in credentials.fields})
    try:
        return server.issuer().mint(credentials, timeout=timeout)
    except TokenVendingError as error:
        shown = "".join(traceback.format_exception(error))
        assert not any(text in shown for text in (SECRET, *credentials.fields.values(), *server.ever_minted))
        return error


# Over HTTP -----------------------------------------------------------------------------------------------


def test_the_right_credentials_bring_the_live_token_and_its_lifetime(server: IssuerServer) -> None:
    minted = mint(server)
    assert isinstance(minted, Minted), minted
    assert minted.access_token in server.ever_minted
    assert server.is_live(minted.access_token)
    assert minted.warning is None
    if server.description.lifetime:
        assert abs(minted.lifetime - timedelta(days=1)) < timedelta(minutes=1)
    else:
        assert minted.lifetime == server.description.default_lifetime


def test_wrong_credentials_are_refused_for_good(server: IssuerServer) -> None:
    error = mint(server, wrong=True)
    assert isinstance(error, CredentialsRefused)
    assert not error.ambiguous
    assert server.mint_count() == 0


def test_a_second_mint_kills_the_first_token_if_the_description_says_so(server: IssuerServer) -> None:
    first, second = mint(server), mint(server)
    assert isinstance(first, Minted)
    assert isinstance(second, Minted)
    assert server.is_live(first.access_token) is not server.description.destructive


@pytest.mark.parametrize(
    "scenario",
    [
        scenarios.maintenance(500),
        scenarios.maintenance(502),
        scenarios.html_success(),
        scenarios.garbled_success("[]"),
        scenarios.deeply_nested(10_000),
        scenarios.huge_success(MAX_BODY),
        Scenario(status=204, body=""),
        Scenario(status=599, body=""),
        Scenario(reset=Reset.BEFORE),
        Scenario(reset=Reset.AFTER),
        Scenario(truncate=1),
    ],
    ids=lambda scenario: scenario.name or str(scenario.status or scenario.reset or "truncated"),
)
def test_an_answer_that_no_description_names_may_have_minted(
    server: IssuerServer, scenario: Scenario
) -> None:
    server.script(scenario)
    error = mint(server)
    if isinstance(error, Minted):
        # A token in a header is a token, whatever the body.
        assert server.description.token.header
        return
    assert isinstance(error, VendorUnavailable | VendorProtocolError)
    assert error.ambiguous is server.description.destructive


@pytest.mark.parametrize("scenario", [Scenario(hang=True, took_effect=True), Scenario(drip_seconds=30)])
def test_a_late_answer_may_have_minted(server: IssuerServer, scenario: Scenario) -> None:
    server.script(scenario)
    error = mint(server, timeout=1.0)
    assert isinstance(error, VendorUnavailable)
    assert error.ambiguous is server.description.destructive


def test_a_redirect_is_not_followed(server: IssuerServer) -> None:
    server.script(scenarios.redirect("https://elsewhere.example.com/login"))
    error = mint(server)
    named = any(condition.names(302, None) for condition in server.description.misconfigured)
    assert isinstance(error, ConfigurationError if named else VendorProtocolError)
    assert "elsewhere.example.com" in error.detail
    assert len(server.mint_requests) == 1


def test_a_token_that_works_and_a_dead_one_are_told_apart(server: IssuerServer) -> None:
    minted = mint(server)
    assert isinstance(minted, Minted)
    issuer = server.issuer()
    assert issuer.answers_to(token(secret=minted.access_token), timeout=60) is True
    dead = issuer.answers_to(token(secret="no-such-token"), timeout=60)
    assert dead is (False if server.description.dead_token else None)


# Any answer to any description ---------------------------------------------------------------------------


@st.composite
def answers(draw: st.DrawFn, description: Description) -> Answer:
    """Of every kind: a success, what a condition names, an echo of the credentials, anything at all."""
    status = draw(
        st.sampled_from([200, 201, 204, 302, 307, 400, 401, 403, 404, 429, 500, 502, 503])
        | st.integers(200, 999)
    )
    headers = draw(
        st.dictionaries(
            st.sampled_from(["Retry-After", "Location", "X-Token"]), st.text("ab1 /:.", max_size=9)
        )
    )
    named = [*description.refused, *description.misconfigured, *description.not_taken_on]
    kinds = [st.binary(max_size=60), json_values.map(lambda value: json.dumps(value).encode())]
    if named:
        condition = draw(st.sampled_from(named))
        answer = answer_of(description, condition)
        kinds.append(st.just(answer.body))
        if draw(st.booleans()):
            status = answer.status
    if description.reason:
        echo = description._replace(refused=(Condition(frozenset({"400"}), frozenset({SECRET})),))
        kinds.append(st.just(answer_of(echo, echo.refused[0]).body))
    return Answer(status, HTTPHeaderDict(headers), draw(st.one_of(kinds)))


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
def test_nothing_happened_is_said_only_of_an_answer_that_the_description_names(
    data: st.DataObject, drawn: Description
) -> None:
    description = drawn._replace(destructive=True, reason_in_broken_json=False)
    answer = data.draw(answers(description))
    result = outcome(description, answer)
    if isinstance(result, Minted):
        return
    reason = reason_of(description, answer.body)
    says = {
        meaning
        for meaning in ("refused", "misconfigured", "not_taken_on")
        for condition in getattr(description, meaning)
        if not condition.statuses.isdisjoint({str(answer.status), f"{answer.status // 100}xx"})
        and (not condition.reasons or reason in condition.reasons)
    }
    if not says:
        assert isinstance(result, MintError)
        assert result.ambiguous
        return
    assert not getattr(result, "ambiguous", False)
    assert says >= {
        {
            CredentialsRefused: "refused",
            ConfigurationError: "misconfigured",
            VendorUnavailable: "not_taken_on",
        }[type(result)]
    }


@MANY
@given(st.data(), descriptions)
def test_where_both_tokens_live_no_failure_may_have_killed_one(
    data: st.DataObject, drawn: Description
) -> None:
    description = drawn._replace(destructive=False)
    result = outcome(description, data.draw(answers(description)))
    assert isinstance(result, Minted) or not getattr(result, "ambiguous", False)


@MANY
@given(descriptions, json_values | st.just(OMIT), st.sampled_from([200, 201, 299]))
def test_a_token_in_its_place_is_never_thrown_away(
    description: Description, stated: object, status: int
) -> None:
    headers = HTTPHeaderDict({description.token.header: TOKEN} if description.token.header else {})
    body = success_of(description, TOKEN, stated).encode()
    minted = outcome(description, Answer(status, headers, body))
    assert isinstance(minted, Minted)
    assert minted.access_token == TOKEN
    assert timedelta(0) < minted.lifetime <= LONGEST_LIFETIME
    assert TOKEN not in repr(minted)
    if minted.warning:
        assert minted.lifetime == description.default_lifetime
        assert TOKEN not in minted.warning


@MANY
@given(st.data(), descriptions)
def test_a_token_in_an_answer_that_is_no_success_is_not_taken(
    data: st.DataObject, description: Description
) -> None:
    headers = HTTPHeaderDict({description.token.header: TOKEN} if description.token.header else {})
    body = success_of(description, TOKEN, 3600).encode()
    assert not isinstance(
        outcome(description, Answer(data.draw(st.integers(300, 999)), headers, body)), Minted
    )
