"""The adapter for httpx, blocking and async."""

from collections.abc import AsyncGenerator, Generator

import httpx

from ._attempt import Attempt, Tokens
from ._token import Token


class HttpxAuth(httpx.Auth):
    """Sends the token; on a 401 reports it and sends the request once more with the next one."""

    def __init__(self, tokens: Tokens, wait_seconds: float) -> None:
        self._tokens = tokens
        self._wait_seconds = wait_seconds

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Driven by ``httpx.Client``. Raises what ``Attempt`` does."""
        if _is_multipart(request):
            request.read()
        attempt, run = self._attempt(request), self._tokens.time.run
        token: Token | None = run(attempt.first())
        while token is not None:
            request.headers["Authorization"] = token.bearer()
            response = yield request
            token = run(attempt.after(response.status_code, carried=_carried(response, token)))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The same for ``httpx.AsyncClient``, in asyncio or trio; no thread waits for a token."""
        if _is_multipart(request):
            await request.aread()
        attempt, run = self._attempt(request), self._tokens.time.arun
        token: Token | None = await run(attempt.first())
        while token is not None:
            request.headers["Authorization"] = token.bearer()
            response = yield request
            token = await run(attempt.after(response.status_code, carried=_carried(response, token)))

    def _attempt(self, request: httpx.Request) -> Attempt:
        # Repeatable is whatever was given as bytes, text, JSON, a form, or not at all; not a file or a generator.
        repeatable = isinstance(request.stream, httpx.ByteStream)
        return Attempt(self._tokens, str(request.url), wait_seconds=self._wait_seconds, repeatable=repeatable)


def _carried(response: httpx.Response, token: Token) -> bool:
    # httpx takes the header off a redirect to another host.
    return bool(response.request.headers.get("Authorization") == token.bearer())


def _is_multipart(request: httpx.Request) -> bool:
    # A form with files is put together in memory first, as urllib3 and requests do, and so can be sent again.
    content_type: str = request.headers.get("Content-Type", "")
    return content_type.startswith("multipart/form-data")
