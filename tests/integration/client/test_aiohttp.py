"""`client.aiohttp_middleware()` with aiohttp against a real server."""

from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from token_client import ConfigurationError, RequestNotRepeatable, TokenClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from token_client.testing import FakeTokenSource

    from .vendor import Vendor

BODY = b"once more, please"


def with_session[T](
    client: TokenClient, vendor: Vendor, work: Callable[[aiohttp.ClientSession], Awaitable[T]]
) -> T:
    async def run() -> T:
        async with aiohttp.ClientSession(
            vendor.url, middlewares=[client.aiohttp_middleware(f"{vendor.url}/any/path")]
        ) as session:
            return await work(session)

    return asyncio.run(run())


def post(client: TokenClient, vendor: Vendor, **options: Any) -> tuple[int, bytes]:
    async def work(session: aiohttp.ClientSession) -> tuple[int, bytes]:
        async with session.post("/create", **options) as answer:
            return answer.status, await answer.read()

    return with_session(client, vendor, work)


async def generated() -> AsyncIterator[bytes]:
    yield BODY


@pytest.mark.parametrize(
    ("make", "sent"),
    [
        (dict, b""),
        (lambda: {"data": BODY}, BODY),
        (lambda: {"data": BODY.decode()}, BODY),
        (lambda: {"data": io.BytesIO(BODY)}, BODY),
        (lambda: {"json": {"id": 5}}, b'{"id": 5}'),
        (lambda: {"data": {"id": "5"}}, b"id=5"),
    ],
    ids=["nothing", "bytes", "text", "file", "json", "form"],
)
def test_a_killed_token_costs_one_more_request_and_no_failure(
    client: TokenClient, vendor: Vendor, source: FakeTokenSource, make: Callable[[], Any], sent: bytes
) -> None:
    source.kill()

    assert post(client, vendor, **make()) == (200, sent)

    assert vendor.authorizations == ["Bearer token-1", "Bearer token-2"]
    assert vendor.bodies == [sent, sent]
    assert [request.rejected_version for request in source.requests] == [None, "version-1"]


def test_a_stream_is_sent_once_and_its_error_says_so(
    client: TokenClient, vendor: Vendor, source: FakeTokenSource
) -> None:
    source.kill()

    with pytest.raises(RequestNotRepeatable, match="version-1"):
        post(client, vendor, data=generated())

    assert len(vendor.seen) == 1


def test_a_second_refusal_is_the_answer_and_is_reported(
    client: TokenClient, vendor: Vendor, source: FakeTokenSource
) -> None:
    vendor.refuses_everything = True

    assert post(client, vendor)[0] == 401

    assert len(vendor.seen) == 2
    assert [request.rejected_version for request in source.requests] == [None, "version-1", "version-2"]


@pytest.mark.parametrize("back", [False, True])
def test_a_redirect_takes_the_token_along_on_its_origin_only(
    client: TokenClient, vendor: Vendor, elsewhere: Vendor, source: FakeTokenSource, *, back: bool
) -> None:
    there = vendor.url if back else elsewhere.url

    async def work(session: aiohttp.ClientSession) -> int:
        async with session.get("/redirect", params={"to": f"{there}/whoami"}) as answer:
            return answer.status

    assert with_session(client, vendor, work) == (200 if back else 401)
    assert elsewhere.authorizations == ([] if back else [None])
    assert [request.rejected_version for request in source.requests] == [None]


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
def test_only_requests_to_the_origin_carry_the_token(
    client: TokenClient, origin: str, url: str, *, sent: bool
) -> None:
    headers: dict[str, str] = {}
    request: Any = SimpleNamespace(url=URL(url), headers=headers, body=b"")

    async def handler(_request: aiohttp.ClientRequest) -> Any:
        return SimpleNamespace(status=200)

    async def work() -> None:
        await client.aiohttp_middleware(origin)(request, handler)

    asyncio.run(work())

    assert ("Authorization" in headers) == sent


@pytest.mark.parametrize("origin", ["http://api.example", "api.example", "ftp://127.0.0.1", ""])
def test_a_token_goes_over_https_or_to_loopback_only(client: TokenClient, origin: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        client.aiohttp_middleware(origin)
