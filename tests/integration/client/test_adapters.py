"""`client.http` and the adapters for requests, httpx and aiohttp against a real server: each does the same."""

from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from yarl import URL

from token_client import ConfigurationError, RequestNotRepeatable, TokenClient

from .vendor import Vendor
from .ways import EVERY_WAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import aiohttp

    from token_client.testing import FakeTokenSource


BODY = b"once more, please"


async def generated() -> AsyncIterator[bytes]:
    yield BODY


# The name that the content goes by.
CONTENT = {
    "pool": "body",
    "requests": "data",
    "httpx": "content",
    "httpx in asyncio": "content",
    "httpx in trio": "content",
    "aiohttp": "data",
}


@pytest.fixture(params=CONTENT)
def send(request: pytest.FixtureRequest) -> Callable[..., int]:
    """Sends with one of the libraries `content`, which can be sent twice, or a stream, which cannot."""
    way: str = request.param

    def ask(client: TokenClient, url: str, *, content: Any = None, is_stream: bool = False) -> int:
        if is_stream:
            content = iter([BODY]) if way in {"pool", "requests", "httpx"} else generated()
        return EVERY_WAY[way](client, "POST", url, **({CONTENT[way]: content} if content else {}))

    return ask


def reported(source: FakeTokenSource) -> list[str | None]:
    return [request.rejected_version for request in source.requests]


def test_a_killed_token_costs_one_more_request_and_no_failure(
    send: Any, client: TokenClient, vendor: Vendor, source: FakeTokenSource
) -> None:
    assert send(client, f"{vendor.url}/create", content=BODY) == 200
    source.kill()

    assert send(client, f"{vendor.url}/create", content=BODY) == 200

    assert vendor.authorizations == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    assert vendor.bodies == [BODY] * 3
    assert reported(source) == [None, "version-1"]


def test_a_stream_is_sent_once_and_its_error_says_so(
    send: Any, client: TokenClient, vendor: Vendor, source: FakeTokenSource
) -> None:
    source.kill()

    with pytest.raises(RequestNotRepeatable, match="version-1"):
        send(client, f"{vendor.url}/create", is_stream=True)

    assert len(vendor.seen) == 1
    assert send(client, f"{vendor.url}/create", is_stream=True) == 200


def test_a_second_refusal_is_the_answer_and_is_reported(
    send: Any, client: TokenClient, vendor: Vendor, source: FakeTokenSource
) -> None:
    vendor.refuses_everything = True

    assert send(client, f"{vendor.url}/whoami") == 401
    assert len(vendor.seen) == 2
    assert reported(source) == [None, "version-1", "version-2"]


def test_a_redirect_on_the_host_is_healed_too_and_one_elsewhere_loses_the_token_and_reports_no_401(
    send: Any, client: TokenClient, vendor: Vendor, source: FakeTokenSource
) -> None:
    source.kill()
    assert send(client, f"{vendor.url}/redirect?to=/whoami") == 200

    with Vendor(source) as elsewhere:
        away = elsewhere.url.replace("127.0.0.1", "localhost")
        assert send(client, f"{vendor.url}/redirect?to={away}/whoami") == 401

    assert elsewhere.authorizations == [None]
    assert reported(source) == [None, "version-1"]


def test_a_token_goes_over_https_or_to_loopback_only(send: Any, client: TokenClient) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        send(client, "http://personr.example/x")


@pytest.mark.parametrize(
    ("way", "options", "sent"),
    [
        ("pool", {"body": BODY.decode()}, BODY),
        ("pool", {"body": io.BytesIO(BODY)}, BODY),
        ("pool", {"json": {"id": "ü"}}, '{"id":"ü"}'.encode()),
        ("pool", {"fields": {"id": "5"}, "encode_multipart": False}, b"id=5"),
        ("pool", {"fields": iter([("id", "5")]), "encode_multipart": False}, b"id=5"),
        ("requests", {"data": io.BytesIO(BODY)}, BODY),
        ("httpx", {"files": {"upload": io.BytesIO(BODY)}}, BODY),
        ("httpx in asyncio", {"files": {"upload": BODY}}, BODY),
        ("aiohttp", {"data": io.BytesIO(BODY)}, BODY),
        ("aiohttp", {"data": BODY.decode()}, BODY),
        ("aiohttp", {"json": {"id": 5}}, b'{"id": 5}'),
        ("aiohttp", {"data": {"id": "5"}}, b"id=5"),
    ],
)
def test_files_and_forms_are_sent_again_whole(
    client: TokenClient, vendor: Vendor, source: FakeTokenSource, *, way: str, options: Any, sent: bytes
) -> None:
    source.kill()

    assert EVERY_WAY[way](client, "POST", f"{vendor.url}/create", **options) == 200

    first, second = vendor.bodies
    assert first == second
    assert sent in first
    assert way != "pool" or sent == first


def test_requests_keeps_the_refused_answer_in_the_history(
    client: TokenClient, vendor: Vendor, source: FakeTokenSource
) -> None:
    source.kill()

    answer = requests.get(f"{vendor.url}/whoami", auth=client.requests_auth(), timeout=10)

    assert [refused.status_code for refused in answer.history] == [401]


@pytest.mark.parametrize(
    ("origin", "url", "sent"),
    [
        ("https://api.example", "https://API.example:443/x", True),
        ("https://[::1]:8443", "https://[::1]:8443/x", True),
        ("https://api.example", "https://api.example:8443/x", False),
        ("https://api.example", "http://api.example/x", False),
        ("https://api.example", "https://api.example.evil.example/x", False),
        ("https://api.example", "https://api.example@evil.example/x", False),
    ],
)
def test_only_requests_to_the_origin_carry_the_token_of_the_aiohttp_middleware(
    client: TokenClient, origin: str, url: str, *, sent: bool
) -> None:
    headers: dict[str, str] = {}
    request: Any = SimpleNamespace(url=URL(url), headers=headers, body=b"")

    async def handler(_request: aiohttp.ClientRequest) -> Any:
        return SimpleNamespace(status=200)

    sending: Any = client.aiohttp_middleware(origin)(request, handler)
    asyncio.run(sending)

    assert ("Authorization" in headers) == sent
