"""The adapter for httpx, blocking and async."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import httpx

from ._bearer_flow import Outcome, Reply, Report, Send, TakeToken, bearer_flow
from ._deadline import Deadline
from ._origin import check_destination

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from ._client import TokenClient


class HttpxAuth(httpx.Auth):
    """Sends the token; on a 401 reports it and sends the request once more with the next one.

    Args:
        client: where tokens come from.
        wait_seconds: how long a request may wait for tokens, the first and the next one together.
        clock: seconds since the epoch.
    """

    def __init__(
        self, client: TokenClient, *, wait_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._wait_seconds = wait_seconds
        self._clock = clock

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
        deadline = Deadline.after(self._wait_seconds, self._clock)
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration:
                return
            match step:
                case TakeToken():
                    outcome = self._client.get(wait_seconds=deadline.seconds_left())
                case Report():
                    outcome = None
                    step.to(self._client.reject)
                case Send(token):
                    header = f"Bearer {token.access_token()}"
                    request.headers["Authorization"] = header
                    outcome = _reply((yield request), header)

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
        deadline = Deadline.after(self._wait_seconds, self._clock)
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration:
                return
            match step:
                case TakeToken():
                    outcome = self._client.token_in_memory()
                    if outcome is None:
                        outcome = await run_sync(
                            partial(self._client.get, wait_seconds=deadline.seconds_left())
                        )
                case Report():
                    outcome = None
                    await run_sync(step.to, self._client.reject)
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
