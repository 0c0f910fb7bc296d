"""When a mint may happen: the one place that decides it.

A mint kills the token that everybody holds, so it must have a reason. The decision is a pure function of
what the store says, what the event asks and one reading of the clock. A verdict that is due stays due until
a store succeeds: every retry and every later tick then finishes what a crashed run began, and a duplicate of
an event that was served does nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from token_vending.credentials import Credentials
from token_vending.requests import RefreshRequest
from token_vending.token import Intent, Token

FOREIGN_MINTER_WINDOW = timedelta(hours=1)
FOREIGN_MINTER_DEATHS = 3

LEASE = timedelta(seconds=55)
"""How long an intent holds the lock: the refresh function's timeout (45 s, after which Lambda kills it for
certain) and a margin, and less than the minute after which Lambda retries an asynchronous event."""

LATE_MINT_WINDOW = timedelta(minutes=5)
"""How long a Bubble workflow may run: a mint whose answer was lost may still land that much later."""


FREE_FAILURES = 10
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=20)
"""After ten failed runs in a row the next one waits for a minute, then two, then four, up to 20 minutes. An
outage of minutes costs minutes, and one of days makes fewer than 100 attempts a day: each writes a version,
Secrets Manager keeps about that many and prunes none within a day
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html). Beyond it nothing could
be stored when the vendor is back."""


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
    NO_LONGER_LIFE_TO_HAVE = "no_longer_life_to_have"
    FOREIGN_MINTER = "foreign_minter"

    @property
    def due(self) -> bool:
        """Whether a mint is due."""
        return self in _DUE


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
    min_age: timedelta = timedelta(seconds=900)


@dataclass(frozen=True, slots=True)
class State:
    """What the store says. `credentials_version` is of the account that minted the token, as it is now.

    `lock` is the intent that the lock label lies on. It is *finished* when the current token carries its
    run id: such a leftover is only ever released.
    """

    token: Token | None
    credentials_version: str
    lock: Intent | None = None

    @property
    def unfinished(self) -> Intent | None:
        """The intent of a run that may have minted and has not stored; it may still be running."""
        if self.lock is None or (self.token is not None and self.token.run == self.lock.run):
            return None
        return self.lock


def decide(  # noqa: PLR0911 - one return a reason reads as the table it is
    state: State, request: RefreshRequest, rules: Rules, now: datetime
) -> Verdict:
    """Whether a refresh is due, and why.

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
        return _judge_version(token, request, rules, now)
    return Verdict.ALREADY_SERVED if request.force else Verdict.FRESH


def recent_early_deaths(token: Token | None, now: datetime) -> tuple[datetime, ...]:
    """When, within the last hour, a rejection was believed. A moment in the future does not count."""
    if token is None:
        return ()
    return tuple(
        moment for moment in token.early_deaths if timedelta(0) <= now - moment < FOREIGN_MINTER_WINDOW
    )


def lease_over(intent: Intent, now: datetime) -> bool:
    """Whether the run that wrote this intent is dead for certain.

    A start that cannot be read, or that lies further ahead than a lease, says nothing and protects nothing.
    """
    if intent.started_at is None:
        return True
    return abs(now - intent.started_at) >= LEASE


def failed_since(intent: Intent, token: Token | None) -> bool:
    """Whether that intent is news: later than the last success, and not of the run that brought it."""
    if token is None:
        return True
    return intent.run != token.run and (intent.started_at is None or intent.started_at >= token.issued_at)


def wait_after_failures(failures: int, last: Intent, now: datetime) -> timedelta:
    """How much longer to leave the vendor and the store alone after so many failed runs in a row; zero or
    less: not at all.
    """
    if failures < FREE_FAILURES or last.started_at is None or last.started_at > now:
        return timedelta(0)
    return last.started_at + _pause(failures - FREE_FAILURES) - now


def _pause(paused_before: int) -> timedelta:
    doublings = min(paused_before, LONGEST_PAUSE // FIRST_PAUSE)  # more make no difference, but big numbers
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)


def choose_account(
    accounts: Sequence[Credentials],
    refusals: Mapping[str, str | None],
    request: RefreshRequest,
) -> Credentials | None:
    """The first account, in order of preference, whose credentials may be sent; None if all are latched.

    `refusals` maps a refused credentials version to the run that was refused (None: not known). Only a
    person sends latched credentials again, and once: not in the retries of the same event.
    """
    for account in accounts:
        if account.version not in refusals:
            return account
    for account in accounts:
        if request.by_a_person and not request.made(refusals[account.version]):
            return account
    return None


def _expires_soon(token: Token, rules: Rules, now: datetime) -> bool:
    if token.expired(now):
        return True
    if token.remaining(now) > rules.renew_before:
        return False
    if token.reason == Verdict.EXPIRES_SOON and token.expires_at - token.issued_at <= rules.renew_before:
        # Renewing for this very reason has just brought a token that is born inside the window. Doing it
        # again at every tick would kill a working token each time and gain nothing: wait for its half-life.
        return _half_spent(token, now)
    return True


def _half_spent(token: Token, now: datetime) -> bool:
    return token.remaining(now) <= (token.expires_at - token.issued_at) / 2


def _judge_version(token: Token, request: RefreshRequest, rules: Rules, now: datetime) -> Verdict:
    if request.rejected_version != token.version:
        return Verdict.REJECTED_VERSION_NOT_CURRENT
    # A token from the future says nothing about its age, so it is not young either.
    believed_at_once = token.suspect(now) and not request.force
    if abs(token.age(now)) < rules.min_age and not believed_at_once:
        return Verdict.TOO_YOUNG_TO_REJECT
    if request.force:
        # Not reported dead, but too short-lived for a caller. That is no early death.
        if token.reason == Verdict.TOO_SHORT_LIVED and not _half_spent(token, now):
            return Verdict.NO_LONGER_LIFE_TO_HAVE
        return Verdict.TOO_SHORT_LIVED
    # This death counts too: the third within the hour is no accident, and minting once more would only
    # kill the token of whoever mints with our account.
    if len(recent_early_deaths(token, now)) + 1 >= FOREIGN_MINTER_DEATHS:
        return Verdict.FOREIGN_MINTER
    return Verdict.REJECTED
