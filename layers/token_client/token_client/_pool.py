"""A urllib3 pool that sends the bearer token, and heals a 401 once."""

import json as jsonlib
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import urllib3
from urllib3._collections import HTTPHeaderDict  # public only since urllib3 2

from ._attempt import Attempt, Replay, Tokens, origin_of
from ._errors import ConfigurationError
from ._process import USER_AGENT, is_idle, starting_over
from ._token import Token

# An API may work on a request for minutes, but a caller should rather hear of it; pass ``timeout=`` with a request
# that is known to be slow.
CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0

# As many threads can call the API at once without urllib3 warning that it throws a connection away.
KEPT_CONNECTIONS = 64


class BearerPool:
    """``request`` as urllib3's, with the token: what ``TokenClient.http`` is.

    The token goes to the URL that is asked for, and along redirects that stay on its origin; urllib3 removes it from
    others. Plain http is refused except on loopback. A ``pool`` that is given stays its giver's: only they close its
    connections.
    """

    def __init__(
        self, tokens: Tokens, pool: urllib3.PoolManager | None = None, *, wait_seconds: float
    ) -> None:
        if pool is not None:
            _check_retries(pool.connection_pool_kw.get("retries"))
        self._tokens = tokens
        self._wait_seconds = wait_seconds
        self._given = pool
        self._used_at = tokens.time.wall()
        self.start_over()
        starting_over.add(self)

    def start_over(self) -> None:
        """For a forked child: neither locks nor connections are shared with the parent. A pool that was given is its
        giver's to replace.
        """
        self._lock = threading.Lock()
        self._pool = self._given or urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            maxsize=KEPT_CONNECTIONS,
            headers={"User-Agent": USER_AGENT},
        )

    def request(  # noqa: PLR0913 - as urllib3's
        self,
        method: str,
        url: str,
        *,
        body: Any = None,  # noqa: ANN401 - as urllib3's
        fields: Any = None,  # noqa: ANN401 - as urllib3's
        headers: Mapping[str, str] | None = None,
        json: Any = None,  # noqa: ANN401 - as urllib3's
        wait_seconds: float | None = None,
        **urlopen_options: Any,  # noqa: ANN401 - as urllib3's
    ) -> urllib3.BaseHTTPResponse:
        """Send a request with the token, and once more with the next token if the API refuses the first.

        Everything is as urllib3's, but: an Authorization among the headers is replaced; ``json`` is a value to send
        instead of ``body``; ``wait_seconds``, instead of the client's own, is how long to wait for tokens, for the
        first and, after a 401, for the next, in all. The time the API takes is not counted. The answer comes whatever
        its status, a 401 only if the second token was refused as well.

        Raises:
            TokenClientError: there was no token in time, or the body cannot be sent twice.
            ConfigurationError: the token may not go there, or ``retries`` would repeat a 401.
            urllib3.exceptions.HTTPError: as urllib3's.
        """
        _check_retries(urlopen_options.get("retries"))
        replay = Replay(body)
        seconds = self._wait_seconds if wait_seconds is None else wait_seconds
        attempt = Attempt(self._tokens, url, wait_seconds=seconds, repeatable=replay.possible)
        given = self._pool.headers if headers is None else headers
        plain = HTTPHeaderDict(given)  # keeps one given several times
        if json is not None:
            if body is not None:
                raise TypeError("body and json exclude each other")
            # urllib3 1.26, which some Lambda runtimes bring, has no json argument.
            body = jsonlib.dumps(json, separators=(",", ":"), ensure_ascii=False).encode()
            if "Content-Type" not in plain:
                plain["Content-Type"] = "application/json"
        if fields is not None and not isinstance(fields, Mapping | list | tuple):
            fields = list(fields)  # an iterator would be empty the second time
        content = {"body": body, "fields": fields}
        urlopen_options |= {name: value for name, value in content.items() if value is not None}
        run = self._tokens.time.run
        token = run(attempt.first())
        while True:
            response = self._send(method, url, plain, token, urlopen_options)
            try:
                successor = run(attempt.after(response.status, carried=token_reached(url, response)))
            except BaseException:
                response.drain_conn()
                raise
            if successor is None:
                return response
            # The refused answer may echo the token; nobody needs it, but its connection is still good.
            response.drain_conn()
            response.release_conn()
            replay.rewind()
            token = successor

    def clear(self) -> None:
        """Close the idle connections, unless the pool was given."""
        if self._given is None:
            self._pool.clear()

    def _send(
        self, method: str, url: str, headers: HTTPHeaderDict, token: Token, options: dict[str, Any]
    ) -> urllib3.BaseHTTPResponse:
        with self._lock:  # after a long pause, or a clock that jumped, connections are opened anew
            now = self._tokens.time.wall()
            if is_idle(self._used_at, now):
                self.clear()
            self._used_at = now
        try:
            return self._pool.request(method, url, headers=_bearing(headers, token), **options)
        finally:
            self._used_at = self._tokens.time.wall()


def _bearing(headers: HTTPHeaderDict, token: Token) -> HTTPHeaderDict:
    """With the token; no variable of ours holds them, since they would show it where locals are captured."""
    bearing = HTTPHeaderDict(headers)
    bearing["Authorization"] = token.bearer()
    return bearing


def _check_retries(retries: object) -> None:
    if HTTPStatus.UNAUTHORIZED in (getattr(retries, "status_forcelist", None) or ()):
        raise ConfigurationError(
            "retries must not list 401 in status_forcelist: it would send the refused token again and again, and the"
            " next one never; a 401 is repeated here, with the next token"
        )


def token_reached(url: str, response: urllib3.BaseHTTPResponse) -> bool:
    """Whether the request that was answered last still carried the token that ``url`` was asked for with: urllib3 takes
    the header off at the first redirect to another origin, and does not put it on again should one lead back.
    """
    redirects = () if response.retries is None else response.retries.history
    return all(
        origin_of(urljoin(hop.url or url, hop.redirect_location)) == origin_of(url)
        for hop in redirects
        if hop.redirect_location
    )
