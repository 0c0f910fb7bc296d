"""Every library that sends for a client, each as one function: method, URL and that library's own options."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import httpx
import requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_client import TokenClient


def by_pool(client: TokenClient, method: str, url: str, **options: Any) -> int:
    return client.http.request(method, url, **options).status


def by_requests(client: TokenClient, method: str, url: str, **options: Any) -> int:
    return requests.request(method, url, auth=client.requests_auth(), timeout=60, **options).status_code


def by_httpx(client: TokenClient, method: str, url: str, **options: Any) -> int:
    with httpx.Client(auth=client.httpx_auth(), follow_redirects=True, trust_env=False) as opened:
        return opened.request(method, url, **options).status_code


def by_async_httpx(backend: str, client: TokenClient, method: str, url: str, **options: Any) -> int:
    async def ask() -> int:
        auth = client.httpx_auth()
        async with httpx.AsyncClient(auth=auth, follow_redirects=True, trust_env=False) as opened:
            return (await opened.request(method, url, **options)).status_code

    return anyio.run(ask, backend=backend)


def by_aiohttp(client: TokenClient, method: str, url: str, **options: Any) -> int:
    async def ask() -> int:
        async with (
            aiohttp.ClientSession(middlewares=[client.aiohttp_middleware(url)]) as opened,
            opened.request(method, url, **options) as answer,
        ):
            await answer.read()
            return answer.status

    return asyncio.run(ask())


EVERY_WAY: dict[str, Callable[..., int]] = {
    "pool": by_pool,
    "requests": by_requests,
    "httpx": by_httpx,
    "httpx in asyncio": partial(by_async_httpx, "asyncio"),
    "httpx in trio": partial(by_async_httpx, "trio"),
    "aiohttp": by_aiohttp,
}
