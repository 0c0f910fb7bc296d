"""The middleware for aiohttp (3.12 or newer)."""

import aiohttp
from yarl import URL

from ._attempt import Attempt, Tokens, check_destination


class AiohttpMiddleware:
    """Sends the token to one origin; on a 401 reports it and sends the request once more with the next one.

    aiohttp asks a middleware anew for every hop of a redirect and does not say that it is one. So the origin is said
    beforehand (any URL of it will do): requests and redirects to another go without the token.
    """

    def __init__(self, tokens: Tokens, wait_seconds: float, origin: str) -> None:
        check_destination(origin)
        self._tokens = tokens
        self._wait_seconds = wait_seconds
        self._origin = _origin(URL(origin))

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Called by aiohttp for every request and every hop. Raises what ``Attempt`` does."""
        url = request.url
        if _origin(url) != self._origin:
            return await handler(request)
        attempt = Attempt(self._tokens, str(url), wait_seconds=self._wait_seconds, repeatable=True)
        run = self._tokens.time.arun
        token = await run(attempt.first())
        while True:
            request.headers["Authorization"] = token.bearer()
            response = await handler(request)
            # A file is wound back and a form kept by aiohttp; a generator is gone, which shows only afterwards.
            attempt.repeatable = not getattr(request.body, "consumed", False)
            try:
                successor = await run(attempt.after(response.status, carried=True))
            except BaseException:
                response.close()
                raise
            if successor is None:
                return response
            response.release()
            token = successor


def _origin(url: URL) -> tuple[str, str | None, int | None]:
    # As aiohttp reads it: this is the host it connects to.
    return url.scheme, url.host, url.port
