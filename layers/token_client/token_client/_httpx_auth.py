"""The adapter for httpx, blocking and async."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ._bearer_flow import Outcome, Reply, Report, Send, TakeToken, bearer_flow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from ._client import TokenClient


class HttpxAuth(httpx.Auth):
    """Sends the token; on a 401 reports it and sends the request once more with the next one."""

    def __init__(self, client: TokenClient) -> None:
        self._client = client

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Driven by ``httpx.Client``."""
        if _is_multipart(request):
            request.read()
        flow = bearer_flow(repeatable=_is_repeatable(request))
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration:
                return
            match step:
                case TakeToken():
                    outcome = self._client.get()
                case Report(version):
                    outcome = None
                    self._client.reject(version)
                case Send(token):
                    header = f"Bearer {token.access_token()}"
                    request.headers["Authorization"] = header
                    outcome = _reply((yield request), header)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Driven by ``httpx.AsyncClient``; what blocks is done in a thread."""
        from anyio.to_thread import run_sync  # noqa: PLC0415 - httpx's async half brings it, its blocking half need not

        if _is_multipart(request):
            await request.aread()
        flow = bearer_flow(repeatable=_is_repeatable(request))
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration:
                return
            match step:
                case TakeToken():
                    outcome = await run_sync(self._client.get)
                case Report(version):
                    outcome = None
                    await run_sync(self._client.reject, version)
                case Send(token):
                    header = f"Bearer {token.access_token()}"
                    request.headers["Authorization"] = header
                    outcome = _reply((yield request), header)


def _reply(response: httpx.Response, header: str) -> Reply:
    # httpx takes the header off a redirect to another host.
    carried = response.request.headers.get("Authorization") == header
    return Reply.to(response.status_code, carried_token=carried)


def _is_multipart(request: httpx.Request) -> bool:
    # A form with files is put together in memory first, as urllib3 and requests do, and so can be sent again.
    content_type: str = request.headers.get("Content-Type", "")
    return content_type.startswith("multipart/form-data")


def _is_repeatable(request: httpx.Request) -> bool:
    # Whatever was given as bytes, text, JSON, a form, or not at all; not a file or a generator.
    return isinstance(request.stream, httpx.ByteStream)
