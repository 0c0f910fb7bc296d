"""The vendor's adapter over loopback, against a stand-in that behaves as documented and misbehaves as told."""

import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.kit.personr import (
    DEFAULT_EMAIL,
    DEFAULT_PASSWORD,
    WHOAMI_PATH,
    PersonrServer,
    Scenario,
    scenarios,
)
from tests.kit.personr.scenarios import OMIT
from tests.unit.made_up import token
from token_vending.adapters.issuer import DescribedIssuer
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
from token_vending.issuers import load

DESCRIPTION = load("personr")
DOCUMENTED_LIFETIME = timedelta(seconds=31_536_000)
RIGHT = Credentials("v", {"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD})
WRONG = Credentials("v", {"email": DEFAULT_EMAIL, "password": "hunter2"})


def personr_at(base_url: str, probe_url: str | None = None) -> DescribedIssuer:
    return DescribedIssuer(DESCRIPTION, base_url, probe_url=probe_url)


@pytest.fixture(scope="module")
def server() -> Iterator[PersonrServer]:
    with PersonrServer() as started:
        yield started


@pytest.fixture
def personr(server: PersonrServer) -> PersonrServer:
    server.reset_script()
    return server


@pytest.fixture
def vendor(personr: PersonrServer) -> DescribedIssuer:
    return personr_at(personr.base_url, probe_url=personr.url + WHOAMI_PATH)


def failure(
    vendor: DescribedIssuer, credentials: Credentials = RIGHT, timeout: float = 5.0
) -> TokenVendingError:
    """The error of one mint, searched for everything that must not be in it."""
    with pytest.raises(TokenVendingError) as caught:
        vendor.mint(credentials, timeout=timeout)
    shown = "".join(traceback.format_exception(caught.value))
    for secret in (
        DEFAULT_PASSWORD,
        "hunter2",
        "bus|",
        basic_authorization(DESCRIPTION, credentials.fields).removeprefix("Basic "),
    ):
        assert secret not in shown
    return caught.value


# A mint --------------------------------------------------------------------------------------------------


def test_a_mint_is_one_post_with_a_well_formed_multipart_body(
    personr: PersonrServer, vendor: DescribedIssuer
) -> None:
    before = len(personr.seen)
    vendor.mint(RIGHT, timeout=60)
    (seen,) = personr.seen[before:]
    assert (seen.method, seen.status) == ("POST", 200)
    assert seen.content_type.startswith("multipart/form-data; boundary=")


def test_a_slash_at_the_end_of_the_address_is_harmless(personr: PersonrServer) -> None:
    assert personr_at(personr.base_url + "/").mint(RIGHT, timeout=60).access_token == personr.live_token()


@pytest.mark.parametrize(
    ("expires", "lifetime"),
    [
        (3600, timedelta(hours=1)),
        ("3600", timedelta(hours=1)),
        (" 3600 ", timedelta(hours=1)),
        (3600.0, timedelta(hours=1)),
        (1, timedelta(seconds=1)),
    ],
)
def test_expires_as_a_number_or_a_numeric_string(
    personr: PersonrServer, vendor: DescribedIssuer, expires: object, lifetime: timedelta
) -> None:
    personr.script(scenarios.expires(expires))
    minted = vendor.mint(RIGHT, timeout=60)
    assert (minted.lifetime, minted.warning) == (lifetime, None)


@pytest.mark.parametrize(
    "expires",
    [OMIT, None, 0, -1, "", "soon", "1e9", 1.5, True, [], {}, 10**12, "9" * 400, 1e300, "٣"],
)
def test_a_minted_token_is_never_thrown_away_for_its_expiry(
    personr: PersonrServer, vendor: DescribedIssuer, expires: object
) -> None:
    personr.script(scenarios.expires(expires))
    minted = vendor.mint(RIGHT, timeout=60)
    assert minted.access_token == personr.live_token()
    assert minted.lifetime == DOCUMENTED_LIFETIME
    assert minted.warning is not None


# Refusals ------------------------------------------------------------------------------------------------


def test_the_documented_refusal_is_no_valid_json_and_understood(vendor: DescribedIssuer) -> None:
    error = failure(vendor, WRONG)
    assert isinstance(error, CredentialsRefused)
    assert not error.ambiguous


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, '{"statusCode":400,"reason":"INVALID_LOGIN_CREDENTIALS"}'),
        (401, '{"reason" : "INVALID_LOGIN_CREDENTIALS",}'),
        (200, '{"status":"error","reason":"INVALID_LOGIN_CREDENTIALS"}'),
    ],
)
def test_a_refusal_is_known_by_its_reason(
    personr: PersonrServer, vendor: DescribedIssuer, status: int, body: str
) -> None:
    personr.script(Scenario(status=status, body=body))
    assert isinstance(failure(vendor), CredentialsRefused)


AMBIGUOUS, DEFINITE = True, False


@pytest.mark.parametrize(
    ("scenario", "error", "ambiguous"),
    [
        (Scenario(status=408, body=""), VendorUnavailable, DEFINITE),
        (Scenario(status=425, body=""), VendorUnavailable, DEFINITE),
        (scenarios.rate_limited(), VendorUnavailable, DEFINITE),
        (scenarios.maintenance(503), VendorUnavailable, DEFINITE),
        (scenarios.maintenance(504), VendorUnavailable, AMBIGUOUS),
        (Scenario(status=500, body='{"reason":"INVALID_LOGIN_CREDENTIALS"}'), VendorUnavailable, AMBIGUOUS),
        (scenarios.garbled_success(), VendorProtocolError, AMBIGUOUS),
        (scenarios.not_run(), VendorProtocolError, AMBIGUOUS),
        (scenarios.garbled_success('{"response":{"token":""}}'), VendorProtocolError, AMBIGUOUS),
        (scenarios.garbled_success('{"response":{"token":5}}'), VendorProtocolError, AMBIGUOUS),
        (scenarios.garbled_success('{"response":[]}'), VendorProtocolError, AMBIGUOUS),
        (scenarios.garbled_success("null"), VendorProtocolError, AMBIGUOUS),
    ],
    ids=lambda value: value.name or f"status {value.status}" if isinstance(value, Scenario) else None,
)
def test_whether_an_answer_without_a_token_may_have_minted(
    personr: PersonrServer,
    vendor: DescribedIssuer,
    scenario: Scenario,
    error: type[MintError],
    ambiguous: bool,  # noqa: FBT001
) -> None:
    personr.script(scenario)
    raised = failure(vendor)
    assert isinstance(raised, error)
    assert raised.ambiguous is ambiguous


@pytest.mark.parametrize(
    ("scenario", "told"),
    [
        (scenarios.workflow_error(404, "NOT_FOUND"), "NOT_FOUND"),
        (scenarios.workflow_error(400, "WORKFLOW_DISABLED"), "WORKFLOW_DISABLED"),
        (Scenario(status=403, body="<html>Forbidden</html>"), "403"),
        (scenarios.redirect("https://elsewhere.example.com/mint"), "elsewhere.example.com"),
        (scenarios.redirect("/relative"), "another address"),
        (scenarios.redirect("https://user:hunter2@elsewhere.example.com/", 301), "elsewhere.example.com"),
        (scenarios.redirect("https://[::1", 307), "another address"),
        (scenarios.redirect("https://x\x1b[2J.example.com/", 308), "another address"),
    ],
)
def test_what_a_person_must_mend_is_a_configuration_error(
    personr: PersonrServer, vendor: DescribedIssuer, scenario: Scenario, told: str
) -> None:
    personr.script(scenario)
    before = len(personr.seen)
    error = failure(vendor)
    assert isinstance(error, ConfigurationError)
    assert told in error.detail
    assert len(personr.seen) == before + 1


@pytest.mark.parametrize(
    "reason", ["hunter2", "it is bus|1|2", "lower case", "X" * 65, "A\nB", "", 5, None, ["A"]]
)
def test_a_reason_that_is_no_plain_word_is_not_repeated(
    personr: PersonrServer, vendor: DescribedIssuer, reason: Any
) -> None:
    personr.script(Scenario(status=400, body=json.dumps({"reason": reason})))
    assert "reason:" not in failure(vendor).detail


def test_a_reason_that_repeats_the_password_is_not_repeated(
    personr: PersonrServer, vendor: DescribedIssuer
) -> None:
    personr.script(Scenario(status=400, body=json.dumps({"reason": "WRONG_PASSWORD_HUNTER2"})))
    assert "HUNTER2" not in failure(vendor, WRONG).detail


# Retry-After ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("9" * 12, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("", None),
    ],
)
def test_a_429_says_when_to_come_back_where_its_retry_after_can_be_read(
    personr: PersonrServer, vendor: DescribedIssuer, header: str, seconds: int | None
) -> None:
    personr.script(scenarios.rate_limited(header))
    assert failure(vendor).retry_after == seconds


def test_retry_after_as_a_date(personr: PersonrServer, vendor: DescribedIssuer) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=90)
    personr.script(scenarios.rate_limited(format_datetime(moment, usegmt=True)))
    seconds = failure(vendor).retry_after
    assert seconds is not None
    assert 80 <= seconds <= 91


# Time ----------------------------------------------------------------------------------------------------


def accept_and_close(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.close()


def unreachable() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("url", [unreachable, lambda: "http://does-not-exist.invalid"])
def test_a_failure_to_connect_is_certain_to_precede_the_request(url: Callable[[], str]) -> None:
    error = failure(personr_at(url()))
    assert isinstance(error, VendorUnavailable)
    assert not error.ambiguous


def test_a_failed_tls_handshake_precedes_it_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        helper = threading.Thread(target=accept_and_close, args=(listener,))
        helper.start()
        error = failure(personr_at(f"https://127.0.0.1:{listener.getsockname()[1]}"))
        helper.join()
    assert isinstance(error, VendorUnavailable)
    assert not error.ambiguous


def test_a_connection_that_closes_after_the_request_is_ambiguous() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        helper = threading.Thread(target=accept_and_close, args=(listener,))
        helper.start()
        error = failure(personr_at(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        helper.join()
    assert isinstance(error, VendorUnavailable)
    assert error.ambiguous


# The probe -----------------------------------------------------------------------------------------------


def test_an_answer_that_is_neither_tells_nothing(personr: PersonrServer) -> None:
    vendor = personr_at(personr.base_url, probe_url=personr.base_url + "/no-such-workflow")
    assert vendor.answers_to(token(), timeout=60) is None


@pytest.mark.parametrize("secret", ["two\r\nlines", "tökèn", "bell\x07"])
def test_a_token_that_no_header_can_carry_is_not_sent(
    personr: PersonrServer, vendor: DescribedIssuer, secret: str
) -> None:
    before = len(personr.seen)
    assert vendor.answers_to(token(secret=secret), timeout=60) is None
    assert len(personr.seen) == before


def test_without_an_address_there_is_no_probe(personr: PersonrServer) -> None:
    assert personr_at(personr.base_url).answers_to(token(), timeout=60) is None


def test_an_unreachable_probe_tells_nothing() -> None:
    assert (
        personr_at("http://127.0.0.1:1", probe_url=unreachable() + "/x").answers_to(token(), timeout=60)
        is None
    )
