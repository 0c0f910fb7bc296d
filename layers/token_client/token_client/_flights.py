"""What is held, and the one request on its way: a future, made by a daemon thread of its own. It goes on whoever
stops waiting for it, and holds up neither a caller nor an event loop.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from ._errors import TokenClientError, TokenUnavailable, VendingUnavailable
from ._freshness import CLOCK_TOLERANCE_SECONDS, Freshness, Held, Pause, judge
from ._process import Time, starting_over
from ._token import Token
from ._wire import TokenRequest, TokenSource

logger = logging.getLogger("token_client")

THREAD_NAME = "token-client-request"

# Versions the API refused. One is enough for one vending function; a container of it that still caches an older one
# may hand that out, and it is recognised here. Refusals are rare: eight are hours of them.
REMEMBERED_REFUSALS = 8

# A request that has taken this long will not come back (a resolver without a time limit, a server that sends a byte
# now and then): the next caller makes another. Our own doors give up after half a minute.
LOST_AFTER_SECONDS = 120.0


@dataclass(slots=True, eq=False)
class Flight:
    """One request on its way. What lands is the token to serve, None if it was refused meanwhile, or an error."""

    request: TokenRequest
    began: float
    landed: Future[Token | TokenClientError | None] = field(default_factory=Future)


class Holding:
    """What all threads and tasks of a process share: the held token, what was refused, and the request on its way.

    ``make_source`` is called at the first request, and again after a fork or :meth:`take_source`.
    """

    def __init__(self, make_source: Callable[[], TokenSource], min_seconds: int | None, time: Time) -> None:
        self._make_source = make_source
        self._min_seconds = min_seconds
        self._time = time
        self._held: Held | None
        self._fresh: Held | None  # the same, while it may be served without the lock
        self._refused: deque[str] = deque(maxlen=REMEMBERED_REFUSALS)
        self._unreported: str | None
        self._pause: Pause | None
        self._flight: Flight | None
        self._source: TokenSource | None
        self.forget()
        self.start_over()
        starting_over.add(self)

    def in_memory(self) -> Token | None:
        """The held token if it may be served unasked; one near the end of its time is renewed in the background."""
        fresh, now = self._fresh, self._time.wall()
        # The way of almost every call: no lock, since what is held is replaced whole.
        if fresh is not None and fresh.asked_at - CLOCK_TOLERANCE_SECONDS <= now < fresh.renew_at:
            return fresh.token
        with self.lock:
            verdict = judge(self._held, self._refused, now)
            if verdict is Freshness.AGING and self._flight is None and self.pause() is None:
                self.board()
            is_young = verdict in {Freshness.FRESH, Freshness.AGING}
            return self._held.token if self._held is not None and is_young else None

    def note_refused(self, version: str) -> bool:
        """Never serve ``version`` again, unless the vending side vouches for it, and report it with the next request.
        False if it has been replaced already, and there is nothing left to heal.
        """
        with self.lock:
            if self._held is not None and self._held.token.version != version:
                return False
            if version not in self._refused:
                self._refused.append(version)
                self._pause = None  # what failed before was asked without this news
            self._unreported, self._fresh = version, None
            return True

    def forget(self) -> None:
        """As if nothing had been asked yet."""
        self._held = self._fresh = self._unreported = self._pause = None
        self._refused.clear()

    def start_over(self) -> None:
        """Forget locks, requests on their way and connections, and keep the token: for a forked child."""
        self.lock = threading.RLock()
        self._flight = self._source = None

    def take_source(self) -> TokenSource | None:
        """What has been asked until now, to be closed; the next request makes another."""
        source, self._source = self._source, None
        return source

    def good(self) -> Token | None:
        """The held token if the API would accept it, as far as is known here. Needs the lock."""
        verdict = judge(self._held, self._refused, self._time.wall())
        return self._held.token if self._held is not None and verdict.is_good else None

    def pause(self) -> Pause | None:
        """The pause that holds now. Needs the lock."""
        pause = self._pause
        return pause if pause is not None and pause.holds_at(self._time.wall()) else None

    def board(self) -> Flight:
        """The request on its way, begun if there is none. Needs the lock."""
        flight, now = self._flight, self._time.monotonic()
        if flight is not None and now - flight.began < LOST_AFTER_SECONDS:
            return flight
        flight = self._flight = Flight(TokenRequest(self._unreported, self._min_seconds), now)
        thread = threading.Thread(target=self._fly, args=(flight,), name=THREAD_NAME, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is going down
            self._fail(flight, VendingUnavailable(f"no thread could be started for the request: {error}"))
        return flight

    def _fly(self, flight: Flight) -> None:
        """Make the request and land it, whatever happens: others are waiting."""
        asked_at = self._time.wall()
        try:
            source = _replacement or self._source
            if source is None:
                source = self._source = self._make_source()
            held = Held.since(source.fetch(flight.request), asked_at, self._time.chance())
            if self._time.wall() >= held.expires_at:
                raise TokenUnavailable("the vending function handed out an expired token")  # noqa: TRY301
        except TokenClientError as error:
            self._fail(flight, error)
        except BaseException as error:  # noqa: BLE001 - in a thread of its own, nobody else would hear of it
            broken = VendingUnavailable(f"the request for a token broke: {type(error).__name__}")
            broken.__cause__ = error
            self._fail(flight, broken)
        else:
            flight.landed.set_result(self._accept(flight, held))

    def _accept(self, flight: Flight, held: Held) -> Token | None:
        """Hold the answer, unless it is a version known to be refused and asked for without saying so."""
        version, rejected = held.token.version, flight.request.rejected_version
        with self.lock:
            self._flight = None if self._flight is flight else self._flight
            self._pause = None
            if version in self._refused:
                if rejected != version:
                    self._unreported = version
                    return None
                # The vending side was told and hands it out all the same: it has tried it and vouches for it.
                self._refused.remove(version)
            self._held = self._fresh = held
            self._unreported = None
        if rejected is not None:
            logger.info("token version %s reported as refused", rejected)
        logger.info("token version %s fetched", version)
        return held.token

    def _fail(self, flight: Flight, error: TokenClientError) -> None:
        with self.lock:
            self._flight = None if self._flight is flight else self._flight
            failures = 1 if self._pause is None else self._pause.failures + 1
            if failures == 1 and self.good() is not None:
                logger.warning(
                    "token not renewed, the held one is served: %s: %s", type(error).__name__, error
                )
            now, chance = self._time.wall(), self._time.chance()
            self._pause = Pause.after(error, now=now, failures=failures, chance=chance)
        flight.landed.set_result(error)


_replacement: TokenSource | None = None


@contextlib.contextmanager
def replaced_source(source: TokenSource) -> Iterator[None]:
    """For tests: every client asks ``source``, and what any held before or during it is forgotten at both ends."""
    global _replacement  # noqa: PLW0603 - the fixture has no other way to clients made at import time
    _replacement = source
    _forget_everything()
    try:
        yield
    finally:
        _replacement = None
        _forget_everything()


def _forget_everything() -> None:
    for holding in list(starting_over):
        if isinstance(holding, Holding):
            holding.forget()
