"""The front: what a caller makes one of, and asks."""

from __future__ import annotations

import os
import random
import time
from functools import partial
from typing import TYPE_CHECKING

from ._cache import TokenCache
from ._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    import requests.auth
    import urllib3

    from ._aws import AwsSession
    from ._pool import BearerPool
    from ._supply import Supply
    from ._token import Token
    from ._wire import TokenSource

FUNCTION_VARIABLE = "PERSONR_TOKEN_FUNCTION"
URL_VARIABLE = "PERSONR_TOKEN_URL"

# Long enough for a refresh from a cold start (a few seconds), short enough for an answer within the 29
# seconds that an API Gateway gives a request. A Lambda function whose own timeout is shorter passes less.
DEFAULT_WAIT_SECONDS = 20.0

# The vending function's own timeout is 10 seconds.
DEFAULT_CALL_TIMEOUT_SECONDS = 12.0


class TokenClient:
    """Tokens for one process. Make one, at import time if you like: it does nothing until asked.

    It is safe for threads, survives a fork, and stays right when a Lambda environment is frozen or restored.

    Args:
        function_name: name or ARN of the vending function (stack output ``VendFunctionArn``), for a direct
            invoke.
            Default: the environment variable ``PERSONR_TOKEN_FUNCTION``.
        url: its URL (stack output ``VendUrl``), for signed HTTP. Default: ``PERSONR_TOKEN_URL``. Of two
            environment variables the function wins.
        source: anything with ``fetch``, instead of both: for tests, see ``token_client.testing``.
        min_seconds: life a token should have left; one with less makes the vending side start a refresh, and
            is served meanwhile.
        wait_seconds: how long ``get`` may wait while no token is available, and how long one request through
            ``http`` or an adapter may, for its first token and the next one together. The last request to the
            vending function may go beyond it.
        call_timeout_seconds: how long the vending function may take to answer, connecting (3 s) not included;
            a request that breaks or times out is made once more at once.
        session: a boto3 or botocore session to take credentials from, for example of an assumed role.
        region: to sign for, where the URL is not of AWS's own form.
        signing_service: ``lambda`` or ``execute-api``, where the URL is not of AWS's own form.
        http_pool: the urllib3 pool that ``http`` sends with, for your own timeouts, retries or certificates.
        clock: seconds since the epoch.
        sleep: waits for a number of seconds.
        chance: a random number, 0 ≤ n < 1.

    Raises:
        ConfigurationError: both a function and a URL are given. (That neither is, and the environment names none
            either, is said by the first request for a token: a module that makes its client at import time can
            be imported where nobody asks, as tests do.)
    """

    def __init__(  # noqa: PLR0913 - all but the first are by keyword, and none is needed
        self,
        function_name: str | None = None,
        *,
        url: str | None = None,
        source: TokenSource | None = None,
        min_seconds: int | None = None,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        call_timeout_seconds: float = DEFAULT_CALL_TIMEOUT_SECONDS,
        session: AwsSession | None = None,
        region: str | None = None,
        signing_service: str | None = None,
        http_pool: urllib3.PoolManager | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        given = [value for value in (function_name, url, source) if value is not None]
        if len(given) > 1:
            raise ConfigurationError("give a function name, a URL or a source, and only one of them")
        if any(value == "" for value in given):
            raise ConfigurationError("the function name or the URL that was given is empty")
        self._function_name = function_name
        self._url = url
        self._source = source
        self._wait_seconds = wait_seconds
        self._http_pool = http_pool
        self._http: BearerPool | None = None
        self._clock = clock

        def make_source() -> TokenSource:
            # Imported only now: botocore takes longer to import than many a handler to run.
            if source is not None:
                return source
            chosen_function, chosen_url = self._place()
            if chosen_function is not None:
                from ._direct import DirectInvoke  # noqa: PLC0415

                return DirectInvoke(
                    chosen_function, call_timeout_seconds=call_timeout_seconds, session=session, clock=clock
                )
            if chosen_url is None:
                raise ConfigurationError(
                    "nothing says where tokens come from: pass function_name or url,"
                    f" or set {FUNCTION_VARIABLE} (stack output VendFunctionArn) or {URL_VARIABLE} (VendUrl)"
                )
            from ._http_door import HttpDoor  # noqa: PLC0415

            return HttpDoor(
                chosen_url,
                call_timeout_seconds=call_timeout_seconds,
                session=session,
                region=region,
                signing_service=signing_service,
                clock=clock,
            )

        self._cache = TokenCache(
            make_source, min_seconds=min_seconds, clock=clock, sleep=sleep, chance=chance
        )

    def get(self, *, wait_seconds: float | None = None) -> Token:
        """A token that is good now: from memory if it may be kept, from the vending function otherwise.

        However many threads ask, one request is on its way at most. An expired or refused token is never
        returned.

        Args:
            wait_seconds: instead of the client's own; 0 makes one attempt and waits for nothing. Right after a
                failure (``retry_after``, at most about ten seconds) there is no attempt but that failure.

        Raises:
            TokenUnavailable: a new token is being made and was not there in time.
            VendingUnavailable: the vending function could not be reached in time.
            CallerNotAllowed: this caller may not have a token.
            ConfigurationError, InvalidRequest, UnexpectedAnswer: something is set up wrongly.
        """
        return self._cache.get(self._wait_seconds if wait_seconds is None else wait_seconds)

    def token_in_memory(self) -> Token | None:
        """The token in memory if it may be served as it is; never waits and asks nobody, except that one near
        the end of its time is renewed in the background.
        """
        return self._cache.in_memory()

    def auth_header(self, *, wait_seconds: float | None = None) -> dict[str, str]:
        """``{"Authorization": "Bearer …"}``. Raises what :meth:`get` raises."""
        return {"Authorization": f"Bearer {self.get(wait_seconds=wait_seconds).access_token()}"}

    def reject(self, version: str) -> None:
        """Say that the vendor refused this version (answered 401). ``http`` and the adapters do it by
        themselves.

        It is reported at once and never served again; the next :meth:`get` waits for its successor. Reporting
        a version that has been replaced already does nothing.

        Raises:
            CallerNotAllowed, ConfigurationError, InvalidRequest, UnexpectedAnswer: the report did not get
                through and will not. (One that may get through later is made again by the next :meth:`get`.)
        """
        self._cache.reject(version)

    @property
    def http(self) -> BearerPool:
        """A urllib3 pool that sends the token with each request and heals a refused one."""
        pool = self._http
        if pool is None:
            from ._pool import BearerPool  # noqa: PLC0415 - imports urllib3

            # Threads that come first together may make one each; the last is kept, the others work as well.
            pool = self._http = BearerPool(
                self, self._http_pool, wait_seconds=self._wait_seconds, clock=self._clock
            )
        return pool

    def requests_auth(self, *, wait_seconds: float | None = None) -> requests.auth.AuthBase:
        """For the requests library: ``requests.get(url, auth=client.requests_auth())``.

        Args:
            wait_seconds: instead of the client's own.
        """
        from ._requests_auth import RequestsAuth  # noqa: PLC0415 - imports requests

        return RequestsAuth(self._supplies(wait_seconds))

    def httpx_auth(self, *, wait_seconds: float | None = None) -> httpx.Auth:
        """For httpx, blocking and async: ``httpx.Client(auth=client.httpx_auth())``.

        Args:
            wait_seconds: instead of the client's own.
        """
        from ._httpx_auth import HttpxAuth  # noqa: PLC0415 - imports httpx

        return HttpxAuth(self._supplies(wait_seconds))

    def _supplies(self, wait_seconds: float | None) -> Callable[[], Supply]:
        from ._supply import Supply  # noqa: PLC0415 - only the adapters need it

        return partial(
            Supply, self, self._wait_seconds if wait_seconds is None else wait_seconds, self._clock
        )

    def _place(self) -> tuple[str | None, str | None]:
        """Function name and URL, one of them or neither; the environment is asked where nothing was given."""
        if self._function_name is not None or self._url is not None:
            return self._function_name, self._url
        function_name = os.environ.get(FUNCTION_VARIABLE) or None
        return function_name, None if function_name else os.environ.get(URL_VARIABLE) or None

    def __repr__(self) -> str:
        if self._source is not None:
            return f"TokenClient({type(self._source).__name__!r})"
        function_name, url = self._place()
        return f"TokenClient({function_name or url!r})"
