"""How fresh a held token is, and how long nobody asks again after a failure: pure functions of what is held, what the
API refused, and the wall clock (in seconds since the epoch, as all instants here).
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Self

from ._errors import TokenClientError
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

# Between two attempts at a function that fails without saying how long to wait: full jitter below a ceiling that
# doubles from the first to the last of these. The floor is there for threads that would otherwise spin.
PAUSE_FLOOR_SECONDS = 0.1
PAUSE_FIRST_SECONDS = 1.0
PAUSE_LAST_SECONDS = 8.0

# However long the vending side says to wait, after this nobody is held off any more: it may have healed since (an
# operator forced a refresh, the schedule minted). Asking again costs it one call of a process, and starts nothing.
PAUSE_LONGEST_SECONDS = 10.0


class Freshness(Enum):
    """The verdict on a held token."""

    FRESH = auto()  # serve it
    AGING = auto()  # serve it, and renew it in the background (advisory)
    STALE = auto()  # serve it only if asking for another brings no answer soon
    EXPIRED = auto()  # never serve it; renewal is mandatory, as with the others
    REJECTED = auto()  # the API refused it, and the renewal says so
    ABSENT = auto()

    @property
    def is_good(self) -> bool:
        """Whether the held token would be accepted by the API, as far as is known here."""
        return self in {Freshness.FRESH, Freshness.AGING, Freshness.STALE}


@dataclass(frozen=True, slots=True)
class Held:
    """A token and its instants, replaced whole.

    Attributes:
        asked_at: just before it was asked for; every other instant counts from here, which errs on the safe side.
        renew_at: the advisory renewal may start.
        stale_at: it may no longer be served without asking.
    """

    token: Token
    asked_at: float
    renew_at: float
    stale_at: float
    expires_at: float

    @classmethod
    def since(cls, answer: Answer, asked_at: float, chance: float) -> Self:
        """Hold an answer; ``chance`` (0 ≤ chance < 1) says where in its range the advisory renewal begins."""
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


@dataclass(frozen=True, slots=True)
class Pause:
    """Nobody asks again from ``since`` to ``until``; ``error`` is the answer. Before ``advised`` asking is in vain, as
    far as the vending side can tell.
    """

    error: TokenClientError
    since: float
    until: float
    advised: float
    failures: int

    @classmethod
    def after(cls, error: TokenClientError, *, now: float, failures: int, chance: float) -> Self:
        """The pause after the so-many-th failure in a row; ``chance`` (0 ≤ chance < 1) is its jitter."""
        advised = now
        if error.retry_after is not None:
            # Up to a second later than advised, so that those who were told the same do not come at once.
            seconds = min(error.retry_after, PAUSE_LONGEST_SECONDS)
            seconds += min(1.0, seconds * 0.1) * chance
            advised = now + error.retry_after
        elif not error.retryable:
            seconds = PAUSE_FIRST_SECONDS
        else:
            ceiling = min(PAUSE_FIRST_SECONDS * 2 ** min(failures - 1, 10), PAUSE_LAST_SECONDS)
            seconds = max(PAUSE_FLOOR_SECONDS, ceiling * chance)
        return cls(error, now, now + seconds, advised, failures)

    def holds_at(self, now: float) -> bool:
        """Before ``since`` the clock has been set back; that must not stretch a pause."""
        return self.since <= now < self.until
