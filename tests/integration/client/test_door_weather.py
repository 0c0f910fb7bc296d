"""The door by URL behind proxies and private authorities, and what it says when it is not reached."""

from __future__ import annotations

import socket
import ssl
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.kit.runtime import FunctionUrl
from tests.kit.stand_ins.loopback import Response
from token_client import ConfigurationError, TokenClient, TokenClientError, VendingUnavailable, __version__
from token_client.testing import timed_client

from .test_doors import ANSWER, NAME, SECRET, Door, Function, http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = Response.of_json(ANSWER)
UNUSED = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_door(authority: trustme.CA) -> Iterator[Door]:
    """By https, with a certificate of an authority that nobody knows."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with Door(GOOD, tls=tls) as door:
        yield door


def failure(client: TokenClient) -> TokenClientError:
    with pytest.raises(TokenClientError) as caught:
        client.get(wait_seconds=0)
    return caught.value


def test_a_proxy_of_the_environment_is_gone_through_and_no_proxy_is_honoured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Door(GOOD) as proxy, Door(GOOD) as door:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert TokenClient(url=UNUSED).get().version == "v1"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert TokenClient(url=door.url).get().version == "v1"

    assert [request.target for request in proxy.seen] == [f"{UNUSED}/token"]
    assert len(door.seen) == 1


def test_a_proxy_that_lets_nobody_through_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Door(Response(403, b"")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)

        error = failure(TokenClient(url="https://abc.lambda-url.eu-west-1.on.aws"))

    assert isinstance(error, VendingUnavailable)
    assert "the proxy does not let it through" in str(error)


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_is_trusted_by_an_authority_of_the_environment_alone(
    tls_door: Door, authority: trustme.CA, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failure(TokenClient(url=tls_door.url))
    assert isinstance(error, ConfigurationError), "no failure that passes with time"
    assert "AWS_CA_BUNDLE" in str(error)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv(variable, str(tmp_path / "authority.pem"))

    assert TokenClient(url=tls_door.url).get().version == "v1"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (UNUSED, "connection refused"),
        ("https://nobody.invalid", "its name is not found (DNS)"),
    ],
)
def test_a_door_that_is_not_reached_says_why_in_a_few_lines(url: str, words: str) -> None:
    error = failure(TokenClient(url=url))

    assert isinstance(error, VendingUnavailable)
    assert words in str(error)
    assert len(str(error)) < 120
    assert "\n".join(traceback.format_exception(error)).count("Traceback") == 1


def test_a_door_that_does_not_answer_in_time_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        error = failure(TokenClient(url=url, call_timeout_seconds=0.05))

    assert isinstance(error, VendingUnavailable)
    assert "timeout while waiting for the answer" in str(error)


def test_a_broken_connection_is_tried_once_more_at_once() -> None:
    with Door(None, GOOD) as door:
        assert TokenClient(url=door.url).get(wait_seconds=0).version == "v1", "within one attempt"

    assert len(door.seen) == 2


def test_the_user_agent_names_the_client_and_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Door(GOOD) as door:
        TokenClient(url=door.url).get()
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", door.url)
        TokenClient(NAME).get()

    for request in door.seen:
        assert f"token-client/{__version__}" in request.headers["user-agent"]


def test_a_renewal_asks_only_whether_there_is_another_token() -> None:
    now = [1_800_000_000.0]
    good = http(ANSWER, ETag='"v1"')
    function = Function([good, http({}, 304, ETag='"v1"'), good])
    with FunctionUrl(function.run) as url:
        client = timed_client(None, lambda: now[0], url=url.url)
        token = client.get()
        now[0] += ANSWER["cache_seconds"]
        assert client.get() == token
        now[0] += ANSWER["cache_seconds"] / 2  # kept for as long again
        assert client.get() == token
        before = set(url._started.open)
        now[0] = 1_800_000_000.0 + ANSWER["expires_in"]
        client.get()
        assert not before & url._started.open, "after a freeze connections are opened anew"

    asked = [event["headers"].get("if-none-match") for event in function.events]
    assert asked == [None, '"v1"', None], "an expired token is asked for anew"


@pytest.mark.parametrize(
    "answer",
    [
        {**ANSWER, "expires_at": "tomorrow"},
        {**ANSWER, "expires_in": None},
        {**ANSWER, "access_token": SECRET + "\n"},
        {**ANSWER, "version": ""},
        {**ANSWER, "cache_seconds": 0, "expires_in": 0},
    ],
    ids=["expires_at", "expires_in", "access_token", "version", "expired"],
)
@pytest.mark.parametrize("by", ["url", "function"])
def test_an_answer_that_is_refused_does_not_show_the_token_where_locals_are_captured(
    answer: dict[str, Any], by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Door(Response.of_json(answer)) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", door.url)
        client = TokenClient(url=door.url) if by == "url" else TokenClient(NAME)
        error = failure(client)
        pause = client._cache.holding._pause
        assert pause is not None

    shown = [
        "".join(traceback.TracebackException.from_exception(one, capture_locals=True).format())
        for one in (error, pause.error)
    ]
    assert "_fly" in shown[1], "the frames of the request itself"
    assert [text for text in shown if SECRET in text] == []
