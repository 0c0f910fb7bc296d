"""What a run must know of earlier ones, and the rules that follow from it.

All of it is fields of the records (`token.History`), carried from each record to the next. Three rules read it:

- the budget: how often callers may cause a mint (docs/decisions/0008);
- the pause: how long to wait after ten failures in a row (docs/decisions/0017);
- the room: how many versions the token secret may hold (docs/decisions/0017).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

from token_vending.token import NO_HISTORY, History, Intent, Token

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MARGIN = timedelta(minutes=1)
"""How far a mint may lie from the time in the record, by this clock: another clock wrote it, before the mint."""

LONGEST_CALLER_PAUSE = HOUR
MOST_CALLER_MINTS = ((HOUR + MARGIN, 6), (DAY + MARGIN, 30))
"""For all callers and all kinds of requests together."""

FREE_FAILURES = 10
FIRST_PAUSE = timedelta(seconds=45)
LONGEST_PAUSE = HOUR
PAUSE_DIVISOR = 12
"""Ten runs in a row may fail as fast as they come. Then the pause is a twelfth of the time since the first of
them: an outage costs callers less than a tenth of it more, and one of a day makes fewer than 90 attempts."""

VERSIONS_QUOTA = 100
"""Secrets Manager keeps about so many versions and removes none of the last 24 hours
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html)."""
_VERSIONS_OF_A_RUN = 2
SCARCE = 80
"""Runs that would write more go on once an hour, so that a day that has used up so many ends with a token."""
CALLERS_LEAVE, TICKS_LEAVE = 8, 4
"""Versions that a caller's run leaves to ticks and `force`, and a tick to `force`. A count that lags may miss a few."""
QUIET = 10
"""Up to so many failed runs and mints for callers within a day, this stack has not filled the secret by itself."""


def caller_wait(token: Token, now: datetime, first_pause: timedelta) -> timedelta:
    """How long until callers may cause the next mint; zero or less: now.

    The pause after a mint starts at `first_pause` and doubles with each further one, up to an hour. Each hour
    without a mint takes one doubling back.
    """
    # None of them is later than the token: it is the last one's, or came after it.
    mints = _of_a_day((min(at, token.issued_at) for at in token.history.caller_mints), now)
    waits = [timedelta(0)]
    if mints:
        pause = first_pause * 2 ** min(_doublings(mints), 12)
        waits.append(mints[-1] + min(pause, LONGEST_CALLER_PAUSE) - now)
    for window, most in MOST_CALLER_MINTS:
        if len(mints) >= most:
            waits.append(mints[-most] + window - now)
    return max(waits)


def until_rejectable(
    token: Token, now: datetime, min_age: timedelta, *, proven_dead: bool = False, wish: bool = False
) -> timedelta:
    """How long until a caller's word about this token may cause a mint; zero or less: now.

    `wish`: it is not said to be dead, but too short-lived. `proven_dead`: the probe says so too.
    """
    if token.suspect(now) and not wish:
        # An older mint of ours may have killed it: only the two limits hold.
        return caller_wait(token, now, timedelta(0))
    # Another clock has set the mint's time, which may lie in the future: `min_age` counts in both directions.
    youth = timedelta(0) if proven_dead else min_age - abs(token.age(now))
    return max(youth, caller_wait(token, now, min_age))


def failure_wait(last: Intent | None, now: datetime) -> timedelta:
    """How long to wait after a failed run; zero or less: not at all."""
    if last is None or last.started_at is None or last.started_at > now:
        return timedelta(0)
    if last.history.failures + 1 < FREE_FAILURES:
        return timedelta(0)
    failing_for = last.started_at - (last.history.failing_since or last.started_at)
    pause = min(max(failing_for / PAUSE_DIVISOR, FIRST_PAUSE), LONGEST_PAUSE)
    return last.started_at + pause - now


def quiet(record: Token | Intent | None, now: datetime) -> bool:
    """Whether this stack has written few versions within a day."""
    history = _of(record)
    return history.failures + len(_of_a_day(history.caller_mints, now)) <= QUIET


def has_room(
    kept: int, latest: datetime | None, now: datetime, *, for_a_caller: bool, by_a_person: bool
) -> bool:
    """Whether an intent and a token may still be written, when Secrets Manager keeps so many versions.

    `latest`: when the latest run began that has written.
    """
    used = kept + _VERSIONS_OF_A_RUN
    if by_a_person:
        return used <= VERSIONS_QUOTA
    if used > VERSIONS_QUOTA - (CALLERS_LEAVE if for_a_caller else TICKS_LEAVE):
        return False
    return used <= SCARCE or latest is None or abs(now - latest) >= HOUR


def announced(
    token: Token | None, *, failed: Intent | None, question: Intent | None, now: datetime, by_caller: bool
) -> History:
    """The history of an intent that is written now.

    `failed` is the latest attempt, if it failed. `question` is the unfinished intent that is taken over: if callers
    have caused it, this mint, which happens now, counts as theirs too.
    """
    mints = _of_a_day(_of(token).caller_mints, now)
    if question is not None:
        by_caller = _of_a_day(question.history.caller_mints, now)[-1:] != mints[-1:]
    return History(
        caller_mints=_of_a_day((*mints, now) if by_caller else mints, now),
        failures=failed.history.failures + 1 if failed is not None else 0,
        failing_since=(failed.history.failing_since or failed.started_at) if failed is not None else None,
    )


def _of(record: Token | Intent | None) -> History:
    return record.history if record is not None else NO_HISTORY


def _doublings(mints: tuple[datetime, ...]) -> int:
    level = 0
    for earlier, later in pairwise(mints):
        level = max(-1, level - (later - earlier) // HOUR) + 1
    return level


def _of_a_day(moments: Iterable[datetime], now: datetime) -> tuple[datetime, ...]:
    kept = sorted(at for at in moments if -MARGIN <= now - at < DAY + MARGIN)
    return tuple(kept[-MOST_CALLER_MINTS[-1][1] :])
