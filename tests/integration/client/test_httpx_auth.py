"""`client.httpx_auth()` with httpx, blocking and async, against a real server."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from token_client import ConfigurationError, RequestNotRepeatable, TokenClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from token_client.testing import FakeTokenSource

    from .vendor import Vendor

BODY = b"once more, please"


@pytest.fixture
def blocking(client: TokenClient) -> Iterator[httpx.Client]:
    with httpx.Client(auth=client.httpx_auth(), follow_redirects=True, trust_env=False) as opened:
        yield opened


def generated() -> Iterator[bytes]:
    yield BODY


def test_a_request_carries_the_token(blocking: httpx.Client, vendor: Vendor) -> None:
    assert blocking.get(f"{vendor.url}/whoami").status_code == 200
    assert vendor.authorizations == ["Bearer token-1"]


def test_a_killed_token_costs_one_more_request_and_no_failure(
    blocking: httpx.Client, vendor: Vendor, source: FakeTokenSource
) -> None:
    source.kill()

    assert blocking.post(f"{vendor.url}/create", content=BODY).status_code == 200

    assert vendor.authorizations == ["Bearer token-1", "Bearer token-2"]
    assert vendor.bodies == [BODY, BODY]
    assert [request.rejected_version for request in source.requests] == [None, "version-1"]


def test_a_form_with_a_file_is_sent_again_whole(
    blocking: httpx.Client, vendor: Vendor, source: FakeTokenSource
) -> None:
    source.kill()

    assert blocking.post(f"{vendor.url}/create", files={"upload": io.BytesIO(BODY)}).status_code == 200

    first, second = vendor.bodies
    assert first == second
    assert BODY in first


def test_a_stream_is_sent_once_and_its_error_says_so(
    blocking: httpx.Client, vendor: Vendor, source: FakeTokenSource
) -> None:
    source.kill()

    with pytest.raises(RequestNotRepeatable, match="version-1"):
        blocking.post(f"{vendor.url}/create", content=generated())

    assert vendor.bodies == [BODY]


def test_a_token_goes_over_https_or_to_loopback_only(client: TokenClient) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    async def get() -> None:
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(answer), auth=client.httpx_auth()
        ) as opened:
            await opened.get("http://personr.example/x")

    with httpx.Client(transport=httpx.MockTransport(answer), auth=client.httpx_auth()) as opened:
        with pytest.raises(ConfigurationError, match="https"):
            opened.get("http://personr.example/x")
        assert opened.get("https://personr.example/x").status_code == 200
    with pytest.raises(ConfigurationError, match="https"):
        asyncio.run(get())

    assert [str(request.url) for request in sent] == ["https://personr.example/x"]


def test_a_second_refusal_is_the_answer_and_is_reported(
    blocking: httpx.Client, vendor: Vendor, source: FakeTokenSource
) -> None:
    vendor.refuses_everything = True

    assert blocking.get(f"{vendor.url}/whoami").status_code == 401
    assert len(vendor.seen) == 2
    assert [request.rejected_version for request in source.requests] == [None, "version-1", "version-2"]


def test_a_redirect_to_another_host_loses_the_token_and_its_401_is_not_reported(
    blocking: httpx.Client, vendor: Vendor, elsewhere: Vendor, source: FakeTokenSource
) -> None:
    answer = blocking.get(f"{vendor.url}/redirect?to={elsewhere.url}/whoami")

    assert answer.status_code == 401
    assert elsewhere.authorizations == [None]
    assert [request.rejected_version for request in source.requests] == [None]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_client_is_healed_likewise(
    client: TokenClient, vendor: Vendor, source: FakeTokenSource, backend: str
) -> None:
    source.kill()
    statuses: list[int] = []

    async def post(opened: httpx.AsyncClient) -> None:
        statuses.append((await opened.post(f"{vendor.url}/create", content=BODY)).status_code)

    async def work() -> None:
        async with (
            httpx.AsyncClient(auth=client.httpx_auth(), trust_env=False) as opened,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(8):
                tasks.start_soon(post, opened)

    anyio.run(work, backend=backend)
    assert statuses == [200] * 8
    assert [request.rejected_version for request in source.requests] == [None, "version-1"]


def test_an_async_form_with_a_file_is_sent_again_and_a_stream_is_not(
    client: TokenClient, vendor: Vendor, source: FakeTokenSource
) -> None:
    async def generated_slowly() -> AsyncIterator[bytes]:
        yield BODY

    async def post() -> None:
        async with httpx.AsyncClient(auth=client.httpx_auth(), trust_env=False) as opened:
            source.kill()
            answer = await opened.post(f"{vendor.url}/create", files={"upload": BODY})
            assert answer.status_code == 200
            source.kill()
            with pytest.raises(RequestNotRepeatable):
                await opened.post(f"{vendor.url}/create", content=generated_slowly())

    asyncio.run(post())
