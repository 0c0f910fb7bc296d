"""A urllib3 pool that sends the bearer token, and heals a 401 once."""

from __future__ import annotations

import json as jsonlib
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3._collections import HTTPHeaderDict  # public only since urllib3 2

from ._bearer_flow import Outcome, Reply, Send, bearer_flow
from ._connections import is_idle
from ._forks import start_over_in_children
from ._origin import check_destination, token_reached
from ._replay import Replay
from ._supply import Supply

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._client import TokenClient

# The vendor documents no limit of its own. Its platform may work on a request for up to five minutes, but a
# caller should rather hear of it; pass ``timeout=`` with a request that is known to be slow.
CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0

# As many threads can call the vendor at once without urllib3 warning that it throws a connection away.
KEPT_CONNECTIONS = 64


class BearerPool:
    """``request`` as urllib3's, with the token.

    The token goes to the URL that is asked for, and along redirects that stay on its origin; urllib3 removes it
    from others. Plain http is refused except on loopback.

    Args:
        client: where tokens come from.
        pool: the pool to send with, for those who need their own timeouts, retries, proxies or certificates. It
            stays its giver's: only they close its connections.
        wait_seconds: how long a request may wait for tokens, where it does not say so itself.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: TokenClient,
        pool: urllib3.PoolManager | None = None,
        *,
        wait_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._wait_seconds = wait_seconds
        self._pool = pool or _new_pool()
        self._is_ours = pool is None
        self._clock = clock
        self._lock = threading.Lock()
        self._used_at = clock()
        start_over_in_children(self)

    def start_over(self) -> None:
        """For a forked child: neither locks nor connections are shared with the parent.

        A pool that was given is its giver's to replace.
        """
        self._lock = threading.Lock()
        if self._is_ours:
            self._pool = _new_pool()

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
        """Send a request with the token, and once more with the next token if the vendor refuses the first.

        Args:
            method: as urllib3's, and so is everything else.
            url: where to.
            body: bytes, text, a file or an iterable.
            fields: form fields, or query parameters for GET, HEAD and DELETE.
            headers: further headers; an Authorization among them is replaced.
            json: a value to send as JSON, instead of ``body``.
            wait_seconds: instead of the client's own: how long to wait for tokens, for the first and, after a
                401, for the next, in all. The time the vendor takes counts as well; the last request to the
                vending function may go beyond it, as in :meth:`TokenClient.get`.
            urlopen_options: ``timeout``, ``retries``, ``preload_content`` and so on.

        Returns:
            The vendor's answer, whatever its status; a 401 only if the second token was refused as well.

        Raises:
            TokenClientError: there was no token in time, or the body cannot be sent twice.
            urllib3.exceptions.HTTPError: as urllib3's.
        """
        check_destination(url)
        plain = _without_authorization(self._pool.headers if headers is None else headers)
        if json is not None:
            if body is not None:
                raise TypeError("body and json exclude each other")
            # urllib3 1.26, which some Lambda runtimes bring, has no json argument.
            body = jsonlib.dumps(json, separators=(",", ":"), ensure_ascii=False).encode()
            if "Content-Type" not in plain:
                plain["Content-Type"] = "application/json"
        if fields is not None and not isinstance(fields, Mapping | list | tuple):
            fields = list(fields)  # an iterator would be empty the second time
        if body is not None:
            urlopen_options["body"] = body
        if fields is not None:
            urlopen_options["fields"] = fields
        seconds = self._wait_seconds if wait_seconds is None else wait_seconds
        supply = Supply(self._client, seconds, self._clock)
        return self._drive(method, url, plain, Replay(body), urlopen_options, supply)

    def clear(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def _drive(  # noqa: PLR0913, PLR0917 - one request, taken apart
        self,
        method: str,
        url: str,
        headers: HTTPHeaderDict,
        replay: Replay,
        options: dict[str, Any],
        supply: Supply,
    ) -> urllib3.BaseHTTPResponse:
        response: urllib3.BaseHTTPResponse | None = None
        flow = bearer_flow(repeatable=replay.possible)
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration:
                break
            except BaseException:
                if response is not None:
                    response.drain_conn()
                raise
            if not isinstance(step, Send):
                outcome = supply.serve(step)
                continue
            if response is not None:
                # The refused answer may echo the token; nobody needs it, but its connection is still good.
                response.drain_conn()
                response.release_conn()
                replay.rewind()
            bearing = HTTPHeaderDict(headers)
            bearing["Authorization"] = f"Bearer {step.token.access_token()}"
            response = self._send(method, url, bearing, options)
            outcome = Reply.to(response.status, carried_token=token_reached(url, response))
        if response is None:
            raise AssertionError("the flow always sends")
        return response

    def _send(
        self, method: str, url: str, headers: HTTPHeaderDict, options: dict[str, Any]
    ) -> urllib3.BaseHTTPResponse:
        self._leave_dead_connections()
        try:
            return self._pool.request(method, url, headers=headers, **options)
        finally:
            self._used_at = self._clock()

    def _leave_dead_connections(self) -> None:
        """After a long pause, or a clock that jumped, open connections anew.

        In a pool that was given they may be in use by others; closing them is its giver's to decide.
        """
        if not self._is_ours:
            return
        with self._lock:
            now = self._clock()
            if is_idle(self._used_at, now):
                self._pool.clear()
            self._used_at = now


def _new_pool() -> urllib3.PoolManager:
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    return urllib3.PoolManager(timeout=timeout, maxsize=KEPT_CONNECTIONS)


def _without_authorization(headers: Mapping[str, str]) -> HTTPHeaderDict:
    """A copy that keeps headers given several times."""
    kept = HTTPHeaderDict(headers)
    kept.pop("Authorization", None)
    return kept
