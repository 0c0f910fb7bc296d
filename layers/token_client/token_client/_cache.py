"""The cache: one held token, one request at a time, and what each caller gets meanwhile.

====================  ==========================  ===========================================================
held token            the request succeeds        the request fails
====================  ==========================  ===========================================================
fresh                 (none is made)              (none is made)
aging                 renewed in the background   the held token, at once; one line in the log an outage
stale                 the new token               the held token; one line in the log an outage
expired, rejected     the new token               waits within the deadline and asks again; then the error
absent                the new token               waits within the deadline and asks again; then the error
====================  ==========================  ===========================================================

tests/unit/client/test_failure_table.py is that table, executed.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import random
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._errors import TokenClientError, TokenUnavailable, VendingUnavailable
from ._forks import start_over_in_children
from ._freshness import Freshness, Held, judge
from ._wire import TokenRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._token import Token
    from ._wire import TokenSource

logger = logging.getLogger("token_client")

# Between two attempts at a function that fails without saying how long to wait: full jitter below a ceiling
# that doubles from the first to the last of these. The floor is there for threads that would otherwise spin.
PAUSE_FLOOR_SECONDS = 0.1
PAUSE_FIRST_SECONDS = 1.0
PAUSE_LAST_SECONDS = 8.0

# However long the vending side says to wait, after this nobody is held off any more: it may have healed since (an
# operator forced a refresh, the schedule minted). Asking again costs it one call of a process, and starts nothing.
PAUSE_LONGEST_SECONDS = 10.0

# Versions the vendor refused. One is enough for one vending function; a container of it that still caches an
# older one may hand that out, and it is recognised here. Refusals are rare: eight are hours of them.
REMEMBERED_REFUSALS = 8


@dataclass(slots=True)
class _Flight:
    """One request on its way, and everybody who waits for it."""

    request: TokenRequest
    landed: threading.Event = field(default_factory=threading.Event)
    token: Token | None = None
    error: TokenClientError | None = None


@dataclass(frozen=True, slots=True)
class _Pause:
    """After a failure nobody asks again between two instants; ``error`` is the answer.

    Attributes:
        error: what failed.
        since: when, in seconds since the epoch, as all here.
        until: from then on the next caller asks again.
        advised: before then asking is in vain, as far as the vending side can tell.
    """

    error: TokenClientError
    since: float
    until: float
    advised: float


class TokenCache:
    """Keeps one token for all threads of a process.

    Args:
        make_source: builds the source; called at the first request, and again in a forked child, because a
            connection must not be shared with the parent.
        min_seconds: passed on with every request.
        clock: seconds since the epoch.
        sleep: waits for a number of seconds.
        chance: a random number, 0 ≤ n < 1.
    """

    def __init__(
        self,
        make_source: Callable[[], TokenSource],
        *,
        min_seconds: int | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._make_source = make_source
        self._held: Held | None = None
        self._refused: deque[str] = deque(maxlen=REMEMBERED_REFUSALS)
        self._unreported: str | None = None
        self._pause: _Pause | None = None
        self._failures = 0
        self._lock = threading.RLock()
        self._flight: _Flight | None = None
        self._source: TokenSource | None = None
        self._min_seconds = min_seconds
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        _caches.add(self)
        start_over_in_children(self)

    def get(self, wait_seconds: float) -> Token:
        """A token that is neither expired nor known to be refused.

        Args:
            wait_seconds: how long to wait for one, in all. An attempt that was begun by then takes as long as
                the source lets it. With 0 there is one attempt, and none during the pause after a failure
                (``PAUSE_LONGEST_SECONDS`` and a second at most), whose error is raised instead.

        Raises:
            TokenClientError: there was none in time, or none can be as far as the vending side knows.
                ``retry_after`` is what it advised.
        """
        give_up_at = self._clock() + wait_seconds
        while True:
            token, error = self._attempt()
            if token is not None:
                return token
            if error is not None:
                self._endure(error, give_up_at)

    def in_memory(self) -> Token | None:
        """The held token if it may be served unasked; waits for nothing."""
        with self._lock:
            return self._in_memory(self._clock())

    def reject(self, version: str) -> None:
        """Take note that the vendor refused ``version``, and tell the vending side, once, whoever else does.

        Afterwards that version is never served again, unless the vending side vouches for it. A failure to
        tell is kept for the next :meth:`get`, which tells it again.

        Raises:
            TokenClientError: telling failed for a reason that time does not mend.
        """
        with self._lock:
            if self._held is not None and self._held.token.version != version:
                return  # replaced already: there is nothing left to heal
            if version not in self._refused:
                self._refused.append(version)
                self._pause = None  # what failed before was asked without this news
            self._unreported = version
        try:
            self.get(wait_seconds=0)
        except TokenClientError as error:
            if not error.retryable:
                raise

    def forget(self) -> None:
        """Be as if nothing had been asked yet."""
        with self._lock:
            self._held = None
            self._refused.clear()
            self._unreported = None
            self._pause = None
            self._failures = 0

    def _attempt(self) -> tuple[Token | None, TokenClientError | None]:
        """The held token if it will do, otherwise what one request brings.

        Neither a token nor an error means: what it brought has been refused meanwhile; ask once more.
        """
        with self._lock:
            now = self._clock()
            token = self._in_memory(now)
            if token is not None:
                return token, None
            held, verdict = self._held, judge(self._held, self._refused, now)
            pause = self._pause_at(now)
            if pause is not None:
                return (held.token, None) if held is not None and verdict.is_good else (None, pause.error)
            flight, leads = self._board()
        if leads:
            self._fly(flight)
        else:
            flight.landed.wait()
        if flight.error is None:
            return flight.token, None
        with self._lock:
            held = self._held
            if held is not None and judge(held, self._refused, self._clock()).is_good:
                return held.token, None
        return None, flight.error

    def _in_memory(self, now: float) -> Token | None:
        """The held token if it may be served unasked. Needs the lock."""
        if self._held is None:
            return None
        verdict = judge(self._held, self._refused, now)
        if verdict is Freshness.AGING:
            self._renew_in_background(now)
        return self._held.token if verdict in {Freshness.FRESH, Freshness.AGING} else None

    def _board(self) -> tuple[_Flight, bool]:
        """The request to wait for, and whether the calling thread is the one to make it. Needs the lock."""
        if self._flight is not None:
            return self._flight, False
        self._flight = _Flight(TokenRequest(rejected_version=self._unreported, min_seconds=self._min_seconds))
        return self._flight, True

    def _renew_in_background(self, now: float) -> None:
        """Start an advisory renewal unless one is on its way or has just failed. Needs the lock."""
        if self._flight is not None or self._pause_at(now) is not None:
            return
        flight, _ = self._board()
        thread = threading.Thread(
            target=self._fly_quietly, args=(flight,), name="token-client-renewal", daemon=True
        )
        try:
            thread.start()
        except (
            RuntimeError
        ):  # no more threads, or the interpreter is going down: the token becomes stale, that is all
            self._land(flight, error=VendingUnavailable("no thread could be started for the renewal"))

    def _fly_quietly(self, flight: _Flight) -> None:
        try:
            self._fly(flight)
        except Exception:
            logger.exception("token renewal failed in an unforeseen way; the held token is served")

    def _fly(self, flight: _Flight) -> None:
        """Make the request and land it, whatever happens: others are waiting."""
        asked_at = self._clock()
        try:
            source = _replacement or self._source
            if source is None:
                source = self._source = self._make_source()
            held = Held.since(source.fetch(flight.request), asked_at, self._chance())
        except TokenClientError as error:
            self._land(flight, error=error)
        except BaseException:
            self._land(flight, error=VendingUnavailable("the request for a token was interrupted"))
            raise
        else:
            if self._clock() >= held.expires_at:
                self._land(flight, error=TokenUnavailable("the vending function handed out an expired token"))
            else:
                self._land(flight, held=held)

    def _land(
        self, flight: _Flight, *, held: Held | None = None, error: TokenClientError | None = None
    ) -> None:
        with self._lock:
            if self._flight is flight:
                self._flight = None
            if error is not None:
                flight.error = error
                self._note_failure(error)
            elif held is not None:
                self._failures = 0
                self._pause = None
                self._accept(flight, held)
        flight.landed.set()

    def _accept(self, flight: _Flight, held: Held) -> None:
        """Hold the answer, unless it is a version known to be refused and asked for without saying so."""
        version = held.token.version
        if version in self._refused:
            if flight.request.rejected_version != version:
                self._unreported = version
                return
            # The vending side was told and hands it out all the same: it has tried it and vouches for it.
            self._refused.remove(version)
        self._held = held
        self._unreported = None
        flight.token = held.token

    def _note_failure(self, error: TokenClientError) -> None:
        now = self._clock()
        if self._failures == 0 and judge(self._held, self._refused, now).is_good:
            logger.warning(
                "token renewal failed, the held token is served: %s: %s", type(error).__name__, error
            )
        ceiling = min(PAUSE_FIRST_SECONDS * 2 ** min(self._failures, 10), PAUSE_LAST_SECONDS)
        seconds = max(PAUSE_FLOOR_SECONDS, ceiling * self._chance())
        advised = now
        if error.retry_after is not None:
            # Up to a second later than advised, so that those who were told the same do not come at once.
            seconds = min(error.retry_after, PAUSE_LONGEST_SECONDS)
            seconds += min(1.0, seconds * 0.1) * self._chance()
            advised = now + error.retry_after
        elif not error.retryable:
            seconds = PAUSE_FIRST_SECONDS
        self._failures += 1
        self._pause = _Pause(error, since=now, until=now + seconds, advised=advised)

    def _pause_at(self, now: float) -> _Pause | None:
        """The pause that holds at ``now``. Needs the lock."""
        pause = self._pause
        # Before ``since`` the clock has been set back; that must not stretch a pause.
        return pause if pause is not None and pause.since <= now < pause.until else None

    def _endure(self, error: TokenClientError, give_up_at: float) -> None:
        """Wait until asking again is worth it.

        Raises:
            TokenClientError: a copy of ``error``, when it is not retryable or its time is not the caller's.
                (A copy, because several threads raising one exception would write into one traceback.)
        """
        with self._lock:
            now = self._clock()
            pause = self._pause_at(now)
        resume_at = now if pause is None else pause.until
        worth_it_at = now if pause is None else max(pause.until, pause.advised)
        if not error.retryable or worth_it_at > give_up_at:
            raise copy.copy(error) from error
        self._sleep(resume_at - now)

    def start_over(self) -> None:
        """Forget locks, requests on their way and connections, and keep the token: for a forked child."""
        self._lock = threading.RLock()
        self._flight = None
        self._source = None


_caches: weakref.WeakSet[TokenCache] = weakref.WeakSet()
_replacement: TokenSource | None = None


@contextlib.contextmanager
def replaced_source(source: TokenSource) -> Iterator[None]:
    """For tests: every cache asks ``source``, and what any held before or during it is forgotten at both
    ends.
    """
    global _replacement  # noqa: PLW0603 - the fixture has no other way to clients made at import time
    _forget_everything()
    _replacement = source
    try:
        yield
    finally:
        _replacement = None
        _forget_everything()


def _forget_everything() -> None:
    for cache in list(_caches):
        cache.forget()
