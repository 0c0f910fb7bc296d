"""One mint, with the retries that fit into the time left."""

from collections.abc import Callable
from datetime import datetime

from token_vending.credentials import Credentials
from token_vending.errors import VendorProtocolError, VendorUnavailable
from token_vending.ports import Clock, Issuer, Minted, TimeLeft

MAX_ATTEMPTS = 4
LONGEST_ATTEMPT = 20.0
"""Seconds. A mint happens even if the wait for its answer ends, so an attempt gets much more than an answer takes."""
SHORTEST_ATTEMPT = 2.0
"""Seconds. With less, a mint would more probably end the token than give a new one."""
STORE_RESERVE = 10.0
"""Seconds kept for storing the token, or a third of the time left if that is less."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0


class Minting:
    """The attempts of one run. `ambiguous` says, also after a failure, whether one of them may have minted."""

    def __init__(
        self,
        issuer: Issuer,
        *,
        clock: Clock,
        time_left: TimeLeft,
        sleep: Callable[[float], None],
        jitter: Callable[[float, float], float],
    ) -> None:
        self._issuer = issuer
        self._clock = clock
        self._time_left = time_left
        self._sleep = sleep
        self._jitter = jitter
        self.ambiguous = False

    def mint(self, credentials: Credentials) -> tuple[Minted, datetime]:
        """The token and the moment its successful attempt began.

        Retries VendorUnavailable only, with full jitter, or after the vendor's Retry-After if that leaves
        time for an attempt. Raises what the vendor adapter raises.
        """
        reserve = min(STORE_RESERVE, self._time_left() / 3)
        attempt = 0
        while True:
            attempt += 1
            budget = self._time_left() - reserve
            if budget < SHORTEST_ATTEMPT:
                raise VendorUnavailable("Too little time left in this run to mint and store a token.")
            began = self._clock()
            try:
                return self._issuer.mint(credentials, timeout=min(LONGEST_ATTEMPT, budget)), began
            except VendorProtocolError as error:
                self.ambiguous = self.ambiguous or error.ambiguous
                raise
            except VendorUnavailable as error:
                self.ambiguous = self.ambiguous or error.ambiguous
                pause = self._pause(attempt, error.retry_after)
                if attempt == MAX_ATTEMPTS or pause + SHORTEST_ATTEMPT > self._time_left() - reserve:
                    raise
            self._sleep(pause)

    def _pause(self, attempt: int, retry_after: int | None) -> float:
        if retry_after is not None:
            return float(retry_after)
        return self._jitter(0.0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1)))
