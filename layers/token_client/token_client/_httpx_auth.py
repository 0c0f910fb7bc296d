"""The adapter for httpx, blocking and async."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from ._bearer_flow import Outcome, Reply, Send, bearer_flow
from ._origin import check_destination

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from ._supply import Supply
    from ._token import Token


class HttpxAuth(httpx.Auth):
    """Sends the token; on a 401 reports it and sends the request once more with the next one.

    Args:
        begin: called as a request begins; what it takes its tokens from.
    """

    def __init__(self, begin: Callable[[], Supply]) -> None:
        self._begin = begin

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Driven by ``httpx.Client``.

        Raises:
            ConfigurationError: the request would carry the token over plain http.
            TokenClientError: there was no token in time, or the body cannot be sent twice.
        """
        check_destination(str(request.url))
        if _is_multipart(request):
            request.read()
        flow = bearer_flow(repeatable=_is_repeatable(request))
        supply = self._begin()
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration:
                return
            if isinstance(step, Send):
                header = _bear(request, step.token)
                outcome = _reply((yield request), header)
            else:
                outcome = supply.serve(step)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Driven by ``httpx.AsyncClient``; what blocks is done in a thread, and a fresh token needs none.

        Raises:
            ConfigurationError: the request would carry the token over plain http.
            TokenClientError: there was no token in time, or the body cannot be sent twice.
        """
        from anyio.to_thread import run_sync  # noqa: PLC0415 - httpx's async half brings it, its blocking half need not

        check_destination(str(request.url))
        if _is_multipart(request):
            await request.aread()
        flow = bearer_flow(repeatable=_is_repeatable(request))
        supply = self._begin()
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration:
                return
            if isinstance(step, Send):
                header = _bear(request, step.token)
                outcome = _reply((yield request), header)
            else:
                outcome = supply.in_memory(step) or await run_sync(supply.serve, step)


def _bear(request: httpx.Request, token: Token) -> str:
    header = f"Bearer {token.access_token()}"
    request.headers["Authorization"] = header
    return header


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
