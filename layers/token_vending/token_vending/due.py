"""When a mint may happen: the one place that decides it.

A mint ends the token that callers hold, so it must have a reason. The decision is a pure function of what the
store says, what the event asks and one reading of the clock. A verdict that is due stays due until a token is
stored: retries and later ticks finish what a crashed run began, and a duplicate of an event that was served does
nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from token_vending.history import until_rejectable
from token_vending.requests import RefreshRequest
from token_vending.token import Intent, Token

LEASE = timedelta(seconds=55)
"""How long an intent holds the lock: the refresh function's timeout (45 s, after which Lambda kills it for
certain) and a margin, and less than the minute after which Lambda retries an asynchronous event."""

LATE_MINT_WINDOW = timedelta(minutes=5)
"""How much later a mint whose answer was lost may still land: a vendor's own work may take that long."""


class Verdict(StrEnum):
    """Why a refresh is due, or why it is not. The value is the `reason` in answers, logs and records."""

    UNFINISHED_INTENT = "unfinished_intent"
    NO_TOKEN = "no_token"  # noqa: S105 - a reason
    FORCED = "forced"
    TOO_SHORT_LIVED = "too_short_lived"
    CREDENTIALS_CHANGED = "credentials_changed"
    EXPIRES_SOON = "expires_soon"
    TOO_OLD = "too_old"
    REJECTED = "rejected"

    FRESH = "fresh"
    ALREADY_SERVED = "already_served"
    REJECTED_VERSION_NOT_CURRENT = "rejected_version_not_current"
    TOO_YOUNG_TO_REJECT = "too_young_to_reject"
    FOREIGN_MINTER = "foreign_minter"
    PROBE_SUCCEEDED = "probe_succeeded"

    @property
    def due(self) -> bool:
        """Whether a mint is due."""
        return self in _DUE

    @property
    def by_caller(self) -> bool:
        """Whether what made it due is a caller's word, so that the mint draws on the callers' budget."""
        return self in (Verdict.REJECTED, Verdict.TOO_SHORT_LIVED)


_DUE = frozenset(
    {
        Verdict.UNFINISHED_INTENT,
        Verdict.NO_TOKEN,
        Verdict.FORCED,
        Verdict.TOO_SHORT_LIVED,
        Verdict.CREDENTIALS_CHANGED,
        Verdict.EXPIRES_SOON,
        Verdict.TOO_OLD,
        Verdict.REJECTED,
    }
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's settings. `max_age` of None turns the age bound off."""

    renew_before: timedelta = timedelta(days=30)
    max_age: timedelta | None = timedelta(days=21)
    min_age: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class State:
    """What the store says. `credentials_version` is of the account that minted the token, as it is now.

    `unfinished` is the intent of a run that may have minted and has not stored; it may still be running.
    """

    token: Token | None
    credentials_version: str
    unfinished: Intent | None = None


def decide(  # noqa: PLR0911 - one return a reason reads as the table it is
    state: State, request: RefreshRequest, rules: Rules, now: datetime, *, proven_dead: bool = False
) -> Verdict:
    """Whether a refresh is due, and why. `proven_dead`: the probe says that the token does not work.

    The order matters only for the reason that is reported, except that what makes the token useless comes
    before what a caller says about it.
    """
    token = state.token
    if state.unfinished is not None:
        return Verdict.UNFINISHED_INTENT
    if token is None:
        return Verdict.NO_TOKEN
    if request.by_a_person and not request.made(token.run):
        return Verdict.FORCED
    if token.credentials_version != state.credentials_version:
        return Verdict.CREDENTIALS_CHANGED
    if _expires_soon(token, rules, now):
        return Verdict.EXPIRES_SOON
    if rules.max_age is not None and token.age(now) >= rules.max_age:
        return Verdict.TOO_OLD
    if request.rejected_version is not None:
        return _judge_version(token, request, rules, now, proven_dead=proven_dead)
    return Verdict.ALREADY_SERVED if request.force else Verdict.FRESH


def lease_over(intent: Intent, now: datetime) -> bool:
    """Whether the run that wrote this intent is dead for certain.

    A start that cannot be read, or that is further in the future than a lease, does not protect the run.
    """
    if intent.started_at is None:
        return True
    return abs(now - intent.started_at) >= LEASE


def may_be_killed_late(began: datetime, question: Intent | None) -> bool:
    """Whether a mint of the unfinished run may still land after one that began at this moment, and kill its token.

    That run may have sent its last attempt just before its lease was over.
    """
    if question is None:
        return False
    return question.started_at is None or began - question.started_at < LEASE + LATE_MINT_WINDOW


def _expires_soon(token: Token, rules: Rules, now: datetime) -> bool:
    if token.expired(now):
        return True
    if token.remaining(now) > rules.renew_before:
        return False
    if token.reason == Verdict.EXPIRES_SOON and token.expires_at - token.issued_at <= rules.renew_before:
        # Renewing for this reason has just given a token that lives no longer than the window. To do it again at
        # each tick would end a working token each time and gain nothing: wait for its half-life.
        return _half_spent(token, now)
    return True


def _half_spent(token: Token, now: datetime) -> bool:
    return token.remaining(now) <= (token.expires_at - token.issued_at) / 2


def _judge_version(
    token: Token, request: RefreshRequest, rules: Rules, now: datetime, *, proven_dead: bool
) -> Verdict:
    if request.rejected_version != token.version:
        return Verdict.REJECTED_VERSION_NOT_CURRENT
    wait = until_rejectable(token, now, rules.min_age, proven_dead=proven_dead, wish=request.force)
    if wait > timedelta(0):
        young = abs(token.age(now)) < rules.min_age and not proven_dead
        # Old enough, but it has to wait: callers have used up their budget. Somebody else mints with our account, or a
        # caller reports tokens that work.
        return Verdict.TOO_YOUNG_TO_REJECT if young else Verdict.FOREIGN_MINTER
    # With `force`: not reported dead, but too short-lived for a caller.
    return Verdict.TOO_SHORT_LIVED if request.force else Verdict.REJECTED
