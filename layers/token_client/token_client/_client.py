"""The front: what a caller makes one of, and asks."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ._cache import TokenCache
from ._errors import ConfigurationError
from ._process import Lazy, Time
from ._token import Token
from ._wire import TokenSource

if TYPE_CHECKING:
    import aiohttp
    import httpx
    import requests
    import urllib3

    from . import _aws, _pool
else:  # for typing.get_type_hints: imported by whoever asks for the types
    aiohttp, httpx, requests, urllib3 = map(Lazy, ("aiohttp", "httpx", "requests", "urllib3"))
    _aws, _pool = Lazy(f"{__package__}._aws"), Lazy(f"{__package__}._pool")

# The first that is set; the names of the first release go on working.
FUNCTION_VARIABLES = ("TOKEN_FUNCTION", "PERSONR_TOKEN_FUNCTION")
URL_VARIABLES = ("TOKEN_URL", "PERSONR_TOKEN_URL")

# Long enough for a refresh from a cold start (a few seconds), short enough for an answer within the 29 seconds that an
# API Gateway gives a request. A Lambda function whose own timeout is shorter passes less.
DEFAULT_WAIT_SECONDS = 20.0

# A hand-out takes some tens of milliseconds, and a second or so from a cold start.
DEFAULT_STALE_WAIT_SECONDS = 2.0

# The vending function's own timeout is 10 seconds.
DEFAULT_CALL_TIMEOUT_SECONDS = 12.0


class TokenClient:
    """Tokens for one process. Make one, at import time if you like: it does nothing until asked.

    It is safe for threads and tasks, survives a fork, and stays right when a Lambda environment is frozen or restored.
    ``with TokenClient() as api:`` closes its connections at the end. It is pickled as its configuration.

    Args:
        function_name: name or ARN of the vending function (stack output ``VendFunctionArn``), for a direct invoke.
            Default: the environment variable ``TOKEN_FUNCTION``, or ``PERSONR_TOKEN_FUNCTION``.
        url: its URL (stack output ``VendUrl``), for signed HTTP. Default: ``TOKEN_URL``, or ``PERSONR_TOKEN_URL``. If
            the environment names both a function and a URL, the function is asked.
        source: anything with ``fetch``, instead of both: for tests, see ``token_client.testing``.
        min_seconds: life a token should have left; one with less starts a refresh, and is served meanwhile.
        wait_seconds: how long ``get`` may wait while no token is available, and how long one request through ``http``
            or an adapter may, for its first token and the next one together.
        stale_wait_seconds: how long a request to the vending function is waited for while the token in memory is past
            ``cache_seconds`` but good; then it is served, and the request goes on.
        call_timeout_seconds: how long the vending function may take to answer, connecting (3 s) not included; a request
            that breaks or times out is made once more at once. Nobody waits for that beyond ``wait_seconds``.
        session: a boto3 or botocore session to take credentials from, for example of an assumed role.
        region, signing_service: to sign for (``lambda`` or ``execute-api``), where the URL is not of AWS's own form.
        http_pool: the urllib3 pool that ``http`` sends with, for your own timeouts, retries or certificates.

    Raises:
        ConfigurationError: both a function and a URL are given. (That nothing is given is said by the first request for
            a token: a module that makes its client at import time can be imported where nobody asks, as in tests.)
    """

    _time: ClassVar[Time] = Time()

    def __init__(  # noqa: PLR0913 - all but the first are by keyword, and none is needed
        self,
        function_name: str | None = None,
        *,
        url: str | None = None,
        source: TokenSource | None = None,
        min_seconds: int | None = None,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        stale_wait_seconds: float = DEFAULT_STALE_WAIT_SECONDS,
        call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS,
        session: _aws.AwsSession | None = None,
        region: str | None = None,
        signing_service: str | None = None,
        http_pool: urllib3.PoolManager | None = None,
    ) -> None:
        self._configuration = {name: value for name, value in locals().items() if name != "self"}
        given = [value for value in (function_name, url, source) if value is not None]
        if len(given) > 1:
            raise ConfigurationError("give a function name, a URL or a source, and only one of them")
        if any(value == "" for value in given):
            raise ConfigurationError("the function name or the URL that was given is empty")
        self._wait_seconds = wait_seconds
        self._http: _pool.BearerPool | None = None
        self._cache = TokenCache(self, self._make_source, min_seconds, stale_wait_seconds, self._time)

    def get(self, *, wait_seconds: float | None = None) -> Token:
        """A token that is good now, never an expired or refused one: from memory if it may be kept, otherwise from the
        vending function. However many threads and tasks ask, one request is on its way at most.

        ``wait_seconds`` goes before the client's own; nobody waits longer. 0 makes one attempt, which may take
        ``stale_wait_seconds``; right after a failure (``retry_after``, at most about ten seconds) there is no attempt
        but that failure.

        Raises:
            TokenUnavailable, VendingUnavailable: there was no token, or no answer, in time.
            CallerNotAllowed, ConfigurationError, InvalidRequest, UnexpectedAnswer: something is set up wrongly.
        """
        token = self._cache.holding.in_memory()  # almost every call
        return self._time.run(self._cache.get(self._given(wait_seconds))) if token is None else token

    async def aget(self, *, wait_seconds: float | None = None) -> Token:
        """As :meth:`get`, in asyncio or trio. No thread waits for it, and cancellation is immediate."""
        return await self._time.arun(self._cache.get(self._given(wait_seconds)))

    def token_in_memory(self) -> Token | None:
        """The token in memory if it may be served as it is; never waits. One that ages is renewed in the background."""
        return self._cache.holding.in_memory()

    def auth_header(self, *, wait_seconds: float | None = None) -> dict[str, str]:
        """``{"Authorization": "Bearer …"}``. Raises what :meth:`get` raises."""
        return {"Authorization": self.get(wait_seconds=wait_seconds).bearer()}

    async def aauth_header(self, *, wait_seconds: float | None = None) -> dict[str, str]:
        """As :meth:`auth_header`, in asyncio or trio."""
        return {"Authorization": (await self.aget(wait_seconds=wait_seconds)).bearer()}

    def reject(self, version: str) -> None:
        """Say that the API refused this version (answered 401). ``http`` and the adapters do it by themselves.

        It is reported at once and never served again; the next :meth:`get` waits for its successor. Reporting a version
        that has been replaced already does nothing. Raises what is not retryable: the report will not get through. (One
        that may get through later is made again by the next :meth:`get`.)
        """
        self._time.run(self._cache.reject(version))

    async def areject(self, version: str) -> None:
        """As :meth:`reject`, in asyncio or trio."""
        await self._time.arun(self._cache.reject(version))

    @property
    def http(self) -> _pool.BearerPool:
        """A urllib3 pool that sends the token with each request and heals a refused one."""
        if self._http is None:
            from ._pool import BearerPool  # noqa: PLC0415 - imports urllib3

            # Threads that come first together may make one each; the last is kept, the others work as well.
            given = self._configuration["http_pool"]
            self._http = BearerPool(self._cache, given, wait_seconds=self._wait_seconds)
        return self._http

    def requests_auth(self, *, wait_seconds: float | None = None) -> requests.auth.AuthBase:
        """For the requests library: ``requests.get(url, auth=client.requests_auth())``."""
        from ._requests_auth import RequestsAuth  # noqa: PLC0415 - imports requests

        return RequestsAuth(self._cache, self._given(wait_seconds))

    def httpx_auth(self, *, wait_seconds: float | None = None) -> httpx.Auth:
        """For httpx, blocking and async: ``httpx.Client(auth=client.httpx_auth())``."""
        from ._httpx_auth import HttpxAuth  # noqa: PLC0415 - imports httpx

        return HttpxAuth(self._cache, self._given(wait_seconds))

    def aiohttp_middleware(
        self, origin: str, *, wait_seconds: float | None = None
    ) -> aiohttp.ClientMiddlewareType:
        """For aiohttp: ``aiohttp.ClientSession(middlewares=[client.aiohttp_middleware("https://api.example")])``.

        Requests and redirects to another origin than the API's go without the token.
        """
        from ._aiohttp import AiohttpMiddleware  # noqa: PLC0415 - imports aiohttp

        return AiohttpMiddleware(self._cache, self._given(wait_seconds), origin)

    def close(self) -> None:
        """Close the connections, not those of a source or pool that was given. A later request opens new ones."""
        asked: Any = self._cache.holding.take_source()
        if asked is not None and asked is not self._configuration["source"]:
            asked.close()
        if self._http is not None:
            self._http.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        own = [name for name in ("source", "session", "http_pool") if self._configuration[name] is not None]
        if own:
            raise TypeError(
                f"a TokenClient with {' and '.join(own)} of your own is not pickled: make one in each process"
            )
        return partial(type(self), **self._configuration), ()

    def _given(self, wait_seconds: float | None) -> float:
        return self._wait_seconds if wait_seconds is None else wait_seconds

    def _make_source(self) -> TokenSource:
        # Imported only now: botocore takes longer to import than many a handler to run.
        given = self._configuration
        if given["source"] is not None:
            source: TokenSource = given["source"]
            return source
        function_name, url = self._place()
        common = {
            "call_timeout_seconds": given["call_timeout_seconds"],
            "session": given["session"],
            "time": self._time,
        }
        if function_name is not None:
            from ._direct import DirectInvoke  # noqa: PLC0415

            return DirectInvoke(function_name, **common)
        if url is not None:
            from ._http_door import HttpDoor  # noqa: PLC0415

            return HttpDoor(url, **common, region=given["region"], signing_service=given["signing_service"])
        raise ConfigurationError(
            "nothing says where tokens come from: pass function_name or url, or set"
            f" {' or '.join(FUNCTION_VARIABLES)} (stack output VendFunctionArn) or {' or '.join(URL_VARIABLES)}"
            " (VendUrl)"
        )

    def _place(self) -> tuple[str | None, str | None]:
        """Function name and URL, one of them or neither; the environment is asked where nothing was given."""
        given = self._configuration["function_name"], self._configuration["url"]
        if given != (None, None):
            return given
        names = FUNCTION_VARIABLES, URL_VARIABLES
        function_name, url = (next(filter(None, map(os.environ.get, each)), None) for each in names)
        return function_name, None if function_name else url

    def __repr__(self) -> str:
        source = self._configuration["source"]
        shown = next(filter(None, self._place()), None) if source is None else type(source).__name__
        return f"TokenClient({shown!r})"
