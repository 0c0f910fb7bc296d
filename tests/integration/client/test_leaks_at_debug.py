"""Everything logs at DEBUG, and the client heals by every way it has: no token, no key is in a log or an error."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING

import aiohttp
import httpx
import pytest
import requests

from tests.kit.personr import WHOAMI_PATH
from tests.kit.runtime import FunctionUrl
from tests.kit.runtime.function_url import CALLER
from tests.kit.secrets_manager.server import REGION
from token_client import TokenClient, TokenUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.world import Stage


@pytest.fixture(params=["direct", "http"])
def client(
    request: pytest.FixtureRequest, world: Stage, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TokenClient]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": CALLER.access_key,
        "AWS_SECRET_ACCESS_KEY": CALLER.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_LAMBDA": world.lambda_service.url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    world.mint_first()
    world.lambda_service.wire("vend", world.vend.run)
    with FunctionUrl(world.vend.run, [CALLER]) as url:
        yield TokenClient("vend") if request.param == "direct" else TokenClient(url=url.url)


def by_pool(client: TokenClient, address: str) -> int:
    return client.http.request("POST", address, json={"id": 5}).status


def by_requests(client: TokenClient, address: str) -> int:
    return requests.post(address, json={"id": 5}, auth=client.requests_auth(), timeout=30).status_code


def by_httpx(client: TokenClient, address: str) -> int:
    with httpx.Client(auth=client.httpx_auth(), trust_env=False) as opened:
        return opened.post(address, json={"id": 5}).status_code


def by_async_httpx(client: TokenClient, address: str) -> int:
    async def post() -> int:
        async with httpx.AsyncClient(auth=client.httpx_auth(), trust_env=False) as opened:
            return (await opened.post(address, json={"id": 5})).status_code

    return asyncio.run(post())


def by_aiohttp(client: TokenClient, address: str) -> int:
    async def post() -> int:
        async with (
            aiohttp.ClientSession(middlewares=[client.aiohttp_middleware(address)]) as opened,
            opened.post(address, json={"id": 5}) as answer,
        ):
            return answer.status

    return asyncio.run(post())


WAYS: tuple[Callable[[TokenClient, str], int], ...] = (
    by_pool,
    by_requests,
    by_httpx,
    by_async_httpx,
    by_aiohttp,
)


def test_no_secret_is_logged_or_raised_at_debug(
    client: TokenClient, world: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = f"{world.vendor.url}{WHOAMI_PATH}"
    errors = ""
    for way in WAYS:
        assert way(client, address) == 200
        assert world.tick(force=True).ok  # the token in memory dies
        assert way(client, address) == 200
    world.vendor.mint_elsewhere()  # a token too young to be replaced dies: an error
    for way in WAYS:
        with pytest.raises(TokenUnavailable) as caught:
            way(client, address)
        errors += "".join(
            traceback.TracebackException.from_exception(caught.value, capture_locals=False).format()
        )

    seen = caplog.text + errors + repr(client)
    assert {"botocore", "urllib3", "httpx"} & {record.name.partition(".")[0] for record in caplog.records}
    assert len(seen) > 10_000, "so much is logged that there is something to find"
    searched = [*world.secret_texts(), CALLER.secret_key]
    assert len(searched) > len(WAYS), "a token for each way at least"
    assert [text for text in searched if text in seen] == []
