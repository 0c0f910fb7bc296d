"""The cache: one held token, one request at a time, and what each caller gets meanwhile.

docs/callers.md has the table of what a caller gets, by the state of the held token and what becomes of the request;
tests/unit/client/test_failure_table.py executes it.
"""

import copy
import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from ._errors import TokenClientError, VendingUnavailable
from ._flights import Holding
from ._process import Steps, Time
from ._token import Token
from ._wire import TokenSource

# A caller that wakes this much after its deadline was frozen while it waited, and is given one more attempt.
OVERSLEPT_SECONDS = 1.0


class TokenCache:
    """Keeps one token for all threads and tasks of a process; ``Tokens`` of ``_attempt`` is what others know of it.

    A request is waited for ``stale_wait_seconds`` from its beginning while a stale token could be served; a single
    attempt may take as long.
    """

    def __init__(
        self,
        owner: object,
        make_source: Callable[[], TokenSource],
        min_seconds: int | None,
        stale_wait_seconds: float,
        time: Time,
    ) -> None:
        self.holding = Holding(make_source, min_seconds, time)
        self.time = time
        self._owner = owner
        self._stale_wait_seconds = stale_wait_seconds

    def get(self, wait_seconds: float, *, instead_of: str | None = None) -> Steps[Token]:
        """A token that is neither expired nor known to be refused, within ``wait_seconds``.

        With 0 there is one attempt, which may take ``stale_wait_seconds``, and none during the pause after a failure,
        whose error is raised instead. ``instead_of`` is a version the API has just refused: it is reported with the
        request for the next. Raises TokenClientError: there was none in time, or none can be.
        """
        if instead_of is not None:
            self.holding.note_refused(instead_of)
        once = wait_seconds <= 0
        return self._ask(self._stale_wait_seconds if once else wait_seconds, once=once)

    def reject(self, version: str, wait_seconds: float = math.inf) -> Steps[None]:
        """Take note that the API refused ``version``, and tell the vending side, once, whoever else does.

        Afterwards that version is never served again, unless the vending side vouches for it. The report is waited for
        as a single attempt is, and no longer than ``wait_seconds``; the next :meth:`get` tells what has not been told.
        Raises TokenClientError: telling failed, and not for a time.
        """
        if self.holding.note_refused(version):
            try:
                yield from self._ask(min(wait_seconds, self._stale_wait_seconds), once=True)
            except TokenClientError as error:
                if not error.retryable:
                    raise

    def _ask(self, wait_seconds: float, *, once: bool) -> Steps[Token]:
        holding, monotonic = self.holding, self.time.monotonic
        give_up_at = monotonic() + wait_seconds
        while True:
            with holding.lock:
                if (token := holding.in_memory()) is not None:
                    return token
                pause = holding.pause()
                flight = holding.board() if pause is None else None
                is_stale = holding.good() is not None
            give_up_at = self._unless_frozen(give_up_at)
            final = once
            outcome: Token | TokenClientError | None = None if pause is None else pause.error
            if flight is not None:
                until = min(give_up_at, flight.began + self._stale_wait_seconds) if is_stale else give_up_at
                yield flight.landed, max(0.0, until - monotonic())
                if flight.landed.done():
                    outcome = flight.landed.result()
                else:
                    late = f"the vending function has not answered within {wait_seconds:g} s; the request goes on"
                    final, outcome = True, VendingUnavailable(late)
            if isinstance(outcome, Token):
                return outcome
            if outcome is None:
                continue
            with holding.lock:
                pause, held = holding.pause(), holding.good()
            if held is not None:
                return held
            give_up_at = self._unless_frozen(give_up_at)
            now = self.time.wall()
            worth_it_at = now if pause is None else max(pause.until, pause.advised)
            if final or not outcome.retryable or worth_it_at - now >= give_up_at - monotonic():
                # A copy: several threads raising one exception would write into one traceback.
                raise copy.copy(outcome) from outcome.__cause__
            yield None, 0.0 if pause is None else max(0.0, pause.until - now)

    def _unless_frozen(self, give_up_at: float) -> float:
        now = self.time.monotonic()
        return give_up_at if now <= give_up_at + OVERSLEPT_SECONDS else now + self._stale_wait_seconds

    def __reduce__(self) -> tuple[Any, ...]:
        # Adapters are pickled with the client they are of, as its configuration.
        return attrgetter("_cache"), (self._owner,)
