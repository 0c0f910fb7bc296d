"""What can happen to one call on its way out and back."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

MINT = "Mint"
PROBE = "Probe"


class Killed(BaseException):
    """The process is gone: a crash, or Lambda's timeout. Not an Exception, so that no product code survives
    it.
    """


class Kind(StrEnum):
    """The ways to fail. `effect` says for each whether the call took effect."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    DENIED = "access denied"
    THROTTLED = "throttled"
    QUOTA = "quota reached"
    UNREACHED = "no connection"
    LOST = "took effect, answer lost"
    REPLAYED = "took effect, answer lost, sent again by the SDK"
    STALE = "answered from an older state"
    # Of the vendor only:
    RATE_LIMITED = "429"
    SERVER_ERROR = "500"
    LATE = "timed out, lands later"
    CRASH_LATE = "crash while waiting, lands later"
    UNREADABLE = "took effect, answer unreadable"
    WRONG_ADDRESS = "404"


AWS_KINDS = (
    Kind.CRASH_BEFORE,
    Kind.CRASH_AFTER,
    Kind.DENIED,
    Kind.THROTTLED,
    Kind.QUOTA,
    Kind.UNREACHED,
    Kind.LOST,
    Kind.REPLAYED,
    Kind.STALE,
)
VENDOR_KINDS = (
    Kind.CRASH_BEFORE,
    Kind.CRASH_AFTER,
    Kind.UNREACHED,
    Kind.LOST,
    Kind.RATE_LIMITED,
    Kind.SERVER_ERROR,
    Kind.LATE,
    Kind.CRASH_LATE,
    Kind.UNREADABLE,
    Kind.WRONG_ADDRESS,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One misfortune. `mutations` is how far back a stale answer is; `seconds` how late a late mint lands
    (after it was sent), or what Retry-After says.
    """

    kind: Kind
    mutations: int = 1
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One outbound call: the `index`-th of its run, from 0."""

    index: int
    operation: str


type Weather = Callable[[Call], Fault | None]
"""Decides what happens to each call; None means that all is well."""


def fair(call: Call) -> Fault | None:
    """All is well, whatever the call."""
    del call
    return None
