"""How fresh a held token is: a pure function of what is held, what the vendor refused, and the clock.

The clock is the wall clock, in seconds since the epoch. A monotonic clock would be wrong here: it may stand
still while a Lambda environment is frozen or a snapshot lies in storage, and the token ages all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from ._token import Token
    from ._wire import Answer

# Renewal begins when between 75 % and 90 % of the time the token may be kept has passed. With the default of
# five minutes at least 30 s remain: enough for several attempts at a function whose slowest answer takes ten
# seconds. Where in that range is left to chance, so that a fleet started together does not ask together.
ADVISORY_FROM = 0.75
ADVISORY_SPREAD = 0.15

# A wall clock that is behind the moment of the fetch has been set back, and says nothing about the token's
# age. Ordinary slewing stays far below this.
CLOCK_TOLERANCE_SECONDS = 1.0


class Freshness(Enum):
    """The verdict on a held token."""

    FRESH = auto()
    """Serve it."""
    AGING = auto()
    """Serve it, and renew it in the background (advisory)."""
    STALE = auto()
    """It may no longer be served unasked. Ask; if there is no answer, it is still good."""
    EXPIRED = auto()
    """Never serve it. Renewal is mandatory."""
    REJECTED = auto()
    """The vendor refused it. Renewal is mandatory, and says so."""
    ABSENT = auto()
    """There is none. Renewal is mandatory."""

    @property
    def is_good(self) -> bool:
        """Whether the held token would be accepted by the vendor, as far as is known here."""
        return self in {Freshness.FRESH, Freshness.AGING, Freshness.STALE}


@dataclass(frozen=True, slots=True)
class Held:
    """A token and its three instants, replaced whole. All in seconds since the epoch.

    Attributes:
        token: the token.
        asked_at: just before it was asked for; every other instant counts from here, which errs on the safe
            side.
        renew_at: the advisory renewal may start.
        stale_at: it may no longer be served without asking.
        expires_at: it is dead.
    """

    token: Token
    asked_at: float
    renew_at: float
    stale_at: float
    expires_at: float

    @classmethod
    def since(cls, answer: Answer, asked_at: float, chance: float) -> Held:
        """Hold an answer.

        Args:
            answer: what the vending function gave.
            asked_at: when it was asked.
            chance: 0 ≤ chance < 1, where in its range the advisory renewal begins.
        """
        kept_seconds = min(answer.cache_seconds, answer.expires_in)
        return cls(
            token=answer.token,
            asked_at=asked_at,
            renew_at=asked_at + kept_seconds * (ADVISORY_FROM + ADVISORY_SPREAD * chance),
            stale_at=asked_at + kept_seconds,
            expires_at=asked_at + answer.expires_in,
        )


def judge(held: Held | None, refused_versions: Collection[str], now: float) -> Freshness:
    """The verdict at ``now``. What must not be served is looked for first."""
    if held is None:
        return Freshness.ABSENT
    if now >= held.expires_at:
        return Freshness.EXPIRED
    if held.token.version in refused_versions:
        return Freshness.REJECTED
    if now >= held.stale_at or now < held.asked_at - CLOCK_TOLERANCE_SECONDS:
        return Freshness.STALE
    if now >= held.renew_at:
        return Freshness.AGING
    return Freshness.FRESH
