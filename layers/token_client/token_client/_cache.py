"""The cache: one held token, one request at a time, and what each caller gets meanwhile.

docs/callers.md has the table of what a caller gets, by the state of the held token and what becomes of the request;
tests/unit/client/test_failure_table.py executes it.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from ._errors import TokenClientError, VendingUnavailable
from ._flights import Flight, Holding
from ._process import Time
from ._token import Token
from ._wire import TokenSource

# A caller that wakes this much after its deadline was frozen while it waited, and is given one more attempt.
OVERSLEPT_SECONDS = 1.0


class _Call:
    """One call's way to a token. It waits for nothing itself: ``get`` and ``aget`` do, each in its own way, for
    ``flight`` to land, or asleep if that is None, for ``seconds``.
    """

    def __init__(
        self, holding: Holding, time: Time, wait_seconds: float, stale_wait_seconds: float, *, once: bool
    ) -> None:
        self.flight: Flight | None = None
        self.seconds = 0.0
        self._holding = holding
        self._time = time
        self._wait_seconds = wait_seconds
        self._stale_wait_seconds = stale_wait_seconds
        self._once = once
        self._give_up_at: float | None = None

    def token(self) -> Token | None:
        """The token to serve, or None: wait as ``flight`` and ``seconds`` say, and come again. Raises
        TokenClientError: there is none in time.
        """
        if (flight := self.flight) is None:
            return self._look()
        self.flight = None
        if not flight.landed.done():
            late = (
                f"the vending function has not answered within {self._wait_seconds:g} s; the request goes on"
            )
            return self._make_do(VendingUnavailable(late), final=True)
        error = flight.landed.exception()
        if isinstance(error, TokenClientError):
            return self._make_do(error, final=self._once)
        return flight.landed.result() or self._look()

    def _look(self) -> Token | None:
        with self._holding.lock:
            if (token := self._holding.in_memory()) is not None:
                return token
            pause = self._holding.pause()
            left = self._left()
            if pause is None:
                self.flight = self._holding.board()
                if self._holding.good() is not None:
                    left = min(left, self.flight.began + self._stale_wait_seconds - self._time.monotonic())
                self.seconds = max(0.0, left)
                return None
        return self._make_do(pause.error, final=self._once)

    def _left(self) -> float:
        """Seconds until the deadline, which is set by the first look."""
        now = self._time.monotonic()
        if self._give_up_at is None:
            self._give_up_at = now + self._wait_seconds
        elif now > self._give_up_at + OVERSLEPT_SECONDS:
            self._give_up_at = now + self._stale_wait_seconds
        return self._give_up_at - now

    def _make_do(self, error: TokenClientError, *, final: bool) -> Token | None:
        """The held token if it is still good, otherwise None and a pause before the next attempt; or raises a copy of
        ``error`` (several threads raising one exception would write into one traceback), when it is ``final``, not
        retryable, or asking again is worth it only after the deadline.
        """
        with self._holding.lock:
            pause, held = self._holding.pause(), self._holding.good()
        if held is not None:
            return held
        wall = self._time.wall()
        resume_at = wall if pause is None else pause.until
        worth_it_at = wall if pause is None else max(pause.until, pause.advised)
        if final or not error.retryable or worth_it_at - wall >= self._left():
            raise copy.copy(error) from error.__cause__
        self.seconds = max(0.0, resume_at - wall)
        return None


class TokenCache:
    """Keeps one token for all threads and tasks of a process; ``Tokens`` of ``_attempt`` is what others know of it.

    A request is waited for ``stale_wait_seconds`` from its beginning while a stale token could be served; a single
    attempt may take as long.
    """

    def __init__(
        self,
        make_source: Callable[[], TokenSource],
        *,
        min_seconds: int | None,
        stale_wait_seconds: float,
        time: Time,
    ) -> None:
        self.holding = Holding(make_source, min_seconds, time)
        self.time = time
        self.owner: object = None
        self._stale_wait_seconds = stale_wait_seconds

    def get(self, wait_seconds: float, *, instead_of: str | None = None) -> Token:
        """A token that is neither expired nor known to be refused, within ``wait_seconds``.

        With 0 there is one attempt, which may take ``stale_wait_seconds``, and none during the pause after a failure,
        whose error is raised instead. ``instead_of`` is a version the API has just refused: it is reported with the
        request for the next. Raises TokenClientError: there was none in time, or none can be.
        """
        if instead_of is not None:
            self.holding.note_refused(instead_of)
        elif (token := self.holding.in_memory()) is not None:  # almost every call
            return token
        return self._drive(self._call(wait_seconds))

    async def aget(self, wait_seconds: float, *, instead_of: str | None = None) -> Token:
        """The same in asyncio or trio."""
        if instead_of is not None:
            self.holding.note_refused(instead_of)
        return await self._adrive(self._call(wait_seconds))

    def reject(self, version: str, wait_seconds: float = math.inf) -> None:
        """Take note that the API refused ``version``, and tell the vending side, once, whoever else does.

        Afterwards that version is never served again, unless the vending side vouches for it. The report is waited for
        as a single attempt is, and no longer than ``wait_seconds``; the next :meth:`get` tells what has not been told.
        Raises TokenClientError: telling failed for a reason that time does not mend.
        """
        if self.holding.note_refused(version):
            with _unless_time_mends_it():
                self._drive(self._attempt_within(wait_seconds))

    async def areject(self, version: str, wait_seconds: float = math.inf) -> None:
        """The same in asyncio or trio."""
        if self.holding.note_refused(version):
            with _unless_time_mends_it():
                await self._adrive(self._attempt_within(wait_seconds))

    def __reduce__(
        self,
    ) -> tuple[Any, ...]:  # adapters are pickled with the client they are of, as its configuration
        return attrgetter("_cache"), (self.owner,)

    def _call(self, wait_seconds: float) -> _Call:
        if wait_seconds <= 0:
            return self._attempt_within(math.inf)
        return _Call(self.holding, self.time, wait_seconds, self._stale_wait_seconds, once=False)

    def _attempt_within(self, seconds: float) -> _Call:
        seconds = min(seconds, self._stale_wait_seconds)
        return _Call(self.holding, self.time, seconds, self._stale_wait_seconds, once=True)

    def _drive(self, call: _Call) -> Token:
        while (token := call.token()) is None:
            if call.flight is None:
                self.time.sleep(call.seconds)
            else:
                self.time.wait(call.flight.landed, call.seconds)
        return token

    async def _adrive(self, call: _Call) -> Token:
        while (token := call.token()) is None:
            if call.flight is None:
                await self.time.asleep(call.seconds)
            else:
                await self.time.await_done(call.flight.landed, call.seconds)
        return token


@contextlib.contextmanager
def _unless_time_mends_it() -> Iterator[None]:
    try:
        yield
    except TokenClientError as error:
        if not error.retryable:
            raise
