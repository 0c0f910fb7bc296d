"""Every issuer over HTTP, against a stand-in made from its description. tests/unit/test_answers.py has the answers."""

import socket
import threading
import traceback
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.kit.descriptions import BUILT_IN
from tests.kit.issuer import IssuerServer
from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD, PersonrServer, Reset, Scenario, scenarios
from tests.unit.made_up import token
from token_vending.adapters.exchange import MAX_BODY
from token_vending.adapters.issuer import DescribedIssuer
from token_vending.credentials import Credentials
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    TokenVendingError,
    VendorProtocolError,
    VendorUnavailable,
)

PERSONR = BUILT_IN["personr"]
SECONDS = 60.0
RIGHT = Credentials("v", {"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD})


def failure(issuer: DescribedIssuer, credentials: Credentials, timeout: float = SECONDS) -> TokenVendingError:
    """The error of one mint. It does not show the credentials."""
    with pytest.raises(TokenVendingError) as caught:
        issuer.mint(credentials, timeout=timeout)
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(secret in shown for secret in credentials.fields.values())
    return caught.value


@pytest.fixture(params=BUILT_IN)
def server(request: pytest.FixtureRequest) -> Iterator[IssuerServer]:
    with IssuerServer(BUILT_IN[request.param], lifetime_seconds=86_400) as started:
        yield started


@pytest.fixture(scope="module", params=["personr", "oauth2-client-credentials"])
def shared(request: pytest.FixtureRequest) -> Iterator[IssuerServer]:
    """One whose new token kills the old one, and one whose tokens overlap."""
    with IssuerServer(BUILT_IN[request.param]) as started:
        yield started


def test_the_right_credentials_bring_a_live_token_that_kills_the_older_one_if_the_description_says_so(
    server: IssuerServer,
) -> None:
    issuer, description = server.issuer(), server.description
    first, second = (issuer.mint(server.credentials, timeout=SECONDS) for _ in range(2))
    assert (first.warning, second.warning) == (None, None)
    assert server.is_live(second.access_token)
    assert server.is_live(first.access_token) is not description.destructive
    wanted = timedelta(days=1) if description.lifetime else description.default_lifetime
    assert abs(second.lifetime - wanted) < timedelta(minutes=1)
    assert issuer.answers_to(token(secret=second.access_token), timeout=SECONDS) is True
    dead = issuer.answers_to(token(secret="no-such-token"), timeout=SECONDS)
    assert dead is (False if description.dead_token else None)


def test_wrong_credentials_are_refused_for_good(server: IssuerServer) -> None:
    wrong = Credentials("v", {name: f"not-{name}" for name in server.credentials.fields})
    error = failure(server.issuer(), wrong)
    assert isinstance(error, CredentialsRefused)
    assert not error.ambiguous
    assert server.mint_count() == 0


def test_a_redirect_is_not_followed(server: IssuerServer) -> None:
    server.script(scenarios.redirect("https://elsewhere.example.com/login"))
    named = any(condition.names(302, None) for condition in server.description.misconfigured)
    error = failure(server.issuer(), server.credentials)
    assert isinstance(error, ConfigurationError if named else VendorProtocolError)
    assert "elsewhere.example.com" in error.detail
    assert len(server.mint_requests) == 1


@pytest.mark.parametrize(
    "scenario",
    [
        scenarios.huge_success(MAX_BODY),
        Scenario(reset=Reset.BEFORE),
        Scenario(reset=Reset.AFTER),
        Scenario(truncate=1),
    ],
    ids=["too long", "reset before", "reset after", "truncated"],
)
def test_a_mint_without_a_whole_answer_may_have_killed_the_token_where_a_new_one_does(
    shared: IssuerServer, scenario: Scenario
) -> None:
    shared.script(scenario)
    error = failure(shared.issuer(), shared.credentials)
    assert isinstance(error, VendorUnavailable | VendorProtocolError)
    assert error.ambiguous is shared.description.destructive


def test_a_body_of_unknown_length_that_the_deadline_cuts_off_may_have_minted() -> None:
    """Without a Content-Length the end of the connection looks like the end of the body."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def send_a_part() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b'HTTP/1.1 200 OK\r\n\r\n{"response":{"token":"t"}}')
                while connection.recv(4096):
                    pass

        vendor = threading.Thread(target=send_a_part)
        vendor.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        error = failure(DescribedIssuer(PERSONR, url), RIGHT, timeout=1.0)
        vendor.join()
    assert isinstance(error, VendorUnavailable)
    assert error.ambiguous


def unreachable() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def test_a_failure_to_connect_is_certain_to_precede_the_request() -> None:
    error = failure(DescribedIssuer(PERSONR, unreachable()), RIGHT)
    assert isinstance(error, VendorUnavailable)
    assert not error.ambiguous


# Personr's own stand-in ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def personr() -> Iterator[PersonrServer]:
    with PersonrServer() as started:
        yield started


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_mint_is_one_post_with_a_multipart_body(personr: PersonrServer, ending: str) -> None:
    before = len(personr.seen)
    issuer = DescribedIssuer(PERSONR, personr.base_url + ending)
    minted = issuer.mint(RIGHT, timeout=SECONDS)
    assert minted.access_token == personr.live_token()
    (seen,) = personr.seen[before:]
    assert (seen.method, seen.status) == ("POST", 200)
    assert seen.content_type.startswith("multipart/form-data; boundary=")


def test_a_probe_that_answers_neither_way_or_is_not_reached_tells_nothing(personr: PersonrServer) -> None:
    for url in (None, personr.base_url + "/no-such-workflow", unreachable() + "/x"):
        issuer = DescribedIssuer(PERSONR, personr.base_url, probe_url=url)
        assert issuer.answers_to(token(), timeout=SECONDS) is None


@pytest.mark.parametrize("secret", ["two\r\nlines", "tökèn", "bell\x07"])
def test_a_token_that_no_header_can_carry_is_not_sent(personr: PersonrServer, secret: str) -> None:
    before = len(personr.seen)
    issuer = DescribedIssuer(PERSONR, personr.base_url, probe_url=personr.url)
    assert issuer.answers_to(token(secret=secret), timeout=SECONDS) is None
    assert len(personr.seen) == before
