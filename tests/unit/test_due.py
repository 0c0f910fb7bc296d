"""The decision as the table it is: state, event and clock on the left, the verdict on the right."""

from datetime import datetime, timedelta

import pytest

from tests.unit.made_up import (
    CREDENTIALS_VERSION,
    DAY,
    MINUTE,
    NOW,
    SECOND,
    VERSION,
    YEAR,
    aged,
    expiring,
    intent,
    token,
)
from token_vending.due import (
    LATE_MINT_WINDOW,
    LEASE,
    Rules,
    State,
    Verdict,
    decide,
    lease_over,
    may_be_killed_late,
)
from token_vending.requests import RefreshRequest
from token_vending.token import History, Intent, Token

TICK = RefreshRequest("run-9")
FORCED = RefreshRequest("run-9", force=True)
REJECTION = RefreshRequest("run-9", rejected_version=VERSION)
LONGER_LIFE = RefreshRequest("run-9", force=True, rejected_version=VERSION)
OTHER_REJECTION = RefreshRequest("run-9", rejected_version="another version")
DEFAULTS = Rules()
MONTH = 30 * DAY
OLD = 21 * DAY
YOUNG = 60 * SECOND


def state(
    held: Token | None, credentials_version: str = CREDENTIALS_VERSION, unfinished: Intent | None = None
) -> State:
    return State(held, credentials_version, unfinished)


def born_inside_the_window(
    left: timedelta, reason: str = "expires_soon", lifetime: timedelta = 10 * DAY
) -> Token:
    """A token whose whole life is shorter than RenewBeforeDays."""
    return expiring(left, lifetime, reason=reason)


def spent(*minutes_ago: float, age: timedelta | None = None, **changes: object) -> Token:
    """A token after callers have caused mints so many minutes ago: the last one's, unless it has another age."""
    history = History(tuple(NOW - ago * MINUTE for ago in minutes_ago))
    return aged(minutes_ago[-1] * MINUTE if age is None else age, history=history, **changes)


CASES = {
    # Nothing to do
    "a healthy token": (state(token()), TICK, DEFAULTS, "fresh"),
    # No token
    "nothing minted yet": (state(None), TICK, DEFAULTS, "no_token"),
    "nothing minted yet, and rejected": (state(None), REJECTION, DEFAULTS, "no_token"),
    # An unfinished intent
    "an unfinished intent": (state(token(), unfinished=intent()), TICK, DEFAULTS, "unfinished_intent"),
    "an unfinished intent, no token": (state(None, unfinished=intent()), TICK, DEFAULTS, "unfinished_intent"),
    "an unfinished intent, and rejected too young": (
        state(aged(SECOND), unfinished=intent()),
        REJECTION,
        DEFAULTS,
        "unfinished_intent",
    ),
    # Forced
    "forced": (state(token()), FORCED, DEFAULTS, "forced"),
    "forced, a moment after a mint": (state(aged(SECOND)), FORCED, DEFAULTS, "forced"),
    "forced and served": (state(token(run="run-9/intent-1")), FORCED, DEFAULTS, "already_served"),
    "forced and served, written without an attempt": (
        state(token(run="run-9")),
        FORCED,
        DEFAULTS,
        "already_served",
    ),
    "forced, served by a run of a similar name": (
        state(token(run="run-99/intent-1")),
        FORCED,
        DEFAULTS,
        "forced",
    ),
    "forced and served, but too old": (state(aged(OLD, run="run-9/1")), FORCED, DEFAULTS, "too_old"),
    # Credentials
    "changed credentials": (state(token(), "new"), TICK, DEFAULTS, "credentials_changed"),
    "changed credentials, a moment after a mint": (
        state(aged(SECOND), "new"),
        TICK,
        DEFAULTS,
        "credentials_changed",
    ),
    "changed credentials, and rejected": (state(token(), "new"), REJECTION, DEFAULTS, "credentials_changed"),
    # Expiry
    "one second before the window": (
        state(expiring(MONTH + SECOND, reason="too_old")),
        TICK,
        DEFAULTS,
        "too_old",
    ),
    "one second before the window, no age bound": (
        state(expiring(MONTH + SECOND)),
        TICK,
        Rules(max_age=None),
        "fresh",
    ),
    "at the window": (state(expiring(MONTH)), TICK, DEFAULTS, "expires_soon"),
    "expired this second": (state(expiring(0 * SECOND)), TICK, DEFAULTS, "expires_soon"),
    "expired long ago": (state(expiring(-DAY)), TICK, DEFAULTS, "expires_soon"),
    "expired, no window": (state(expiring(0 * SECOND)), TICK, Rules(0 * DAY, None), "expires_soon"),
    "a second left, no window": (state(expiring(SECOND)), TICK, Rules(0 * DAY, None), "fresh"),
    "in the window, and rejected too young": (
        state(born_inside_the_window(10 * DAY - SECOND, "forced")),
        REJECTION,
        DEFAULTS,
        "expires_soon",
    ),
    # Born inside the window
    "born inside, just over half its life left": (
        state(born_inside_the_window(5 * DAY + SECOND)),
        TICK,
        DEFAULTS,
        "fresh",
    ),
    "born inside, half its life left": (
        state(born_inside_the_window(5 * DAY)),
        TICK,
        DEFAULTS,
        "expires_soon",
    ),
    "born inside, for another reason": (
        state(born_inside_the_window(9 * DAY, "forced")),
        TICK,
        DEFAULTS,
        "expires_soon",
    ),
    "born inside, expired": (state(born_inside_the_window(0 * DAY)), TICK, DEFAULTS, "expires_soon"),
    "as long-lived as the window": (
        state(born_inside_the_window(29 * DAY, lifetime=MONTH)),
        TICK,
        Rules(max_age=None),
        "fresh",
    ),
    "a second longer than the window": (
        state(born_inside_the_window(29 * DAY, lifetime=MONTH + SECOND)),
        TICK,
        Rules(max_age=None),
        "expires_soon",
    ),
    # Age
    "one second too young to be old": (state(aged(OLD - SECOND)), TICK, DEFAULTS, "fresh"),
    "old": (state(aged(OLD)), TICK, DEFAULTS, "too_old"),
    "old, age bound off": (state(aged(YEAR / 2)), TICK, Rules(max_age=None), "fresh"),
    "old, and another version rejected": (state(aged(OLD)), OTHER_REJECTION, DEFAULTS, "too_old"),
    # Rejections
    "rejected": (state(token()), REJECTION, DEFAULTS, "rejected"),
    "rejected, at the minimum age": (state(aged(YOUNG)), REJECTION, DEFAULTS, "rejected"),
    "rejected, a second too young": (state(aged(YOUNG - SECOND)), REJECTION, DEFAULTS, "too_young_to_reject"),
    "rejected, no minimum age": (state(aged(0 * SECOND)), REJECTION, Rules(min_age=0 * SECOND), "rejected"),
    "rejected young, suspect": (
        state(aged(SECOND, suspect_until=NOW + SECOND)),
        REJECTION,
        DEFAULTS,
        "rejected",
    ),
    "rejected young, no longer suspect": (
        state(aged(59 * SECOND, suspect_until=NOW)),
        REJECTION,
        DEFAULTS,
        "too_young_to_reject",
    ),
    "another version rejected": (state(token()), OTHER_REJECTION, DEFAULTS, "rejected_version_not_current"),
    "another version rejected, suspect": (
        state(aged(SECOND, suspect_until=NOW + SECOND)),
        OTHER_REJECTION,
        DEFAULTS,
        "rejected_version_not_current",
    ),
    "minted in the future, rejected": (state(aged(-DAY)), REJECTION, DEFAULTS, "rejected"),
    "minted a little ahead of this clock, rejected": (
        state(aged(-SECOND)),
        REJECTION,
        DEFAULTS,
        "too_young_to_reject",
    ),
    # The callers' budget
    "a mint for callers two minutes ago": (state(spent(2)), REJECTION, DEFAULTS, "rejected"),
    "two of them, the pause of two minutes not over": (
        state(spent(4, 1.9)),
        REJECTION,
        DEFAULTS,
        "foreign_minter",
    ),
    "two of them, the pause over": (state(spent(4, 2)), REJECTION, DEFAULTS, "rejected"),
    "two of them, the token suspect": (
        state(spent(4, 1.9, suspect_until=NOW + SECOND)),
        REJECTION,
        DEFAULTS,
        "rejected",
    ),
    "six within the hour, the token suspect": (
        state(spent(*range(15, 9, -1), age=MINUTE, suspect_until=NOW + SECOND)),
        REJECTION,
        DEFAULTS,
        "foreign_minter",
    ),
    "a used up budget does not hinder a tick": (state(spent(4, 1, age=OLD)), TICK, DEFAULTS, "too_old"),
    "a used up budget does not hinder a person": (state(spent(4, 1)), FORCED, DEFAULTS, "forced"),
    "a used up budget does not hinder new credentials": (
        state(spent(4, 1), "new"),
        TICK,
        DEFAULTS,
        "credentials_changed",
    ),
    # A caller who needs a longer life
    "too short-lived for a caller": (state(token()), LONGER_LIFE, DEFAULTS, "too_short_lived"),
    "too short-lived for a caller, suspect": (
        state(aged(SECOND, suspect_until=NOW + SECOND)),
        LONGER_LIFE,
        DEFAULTS,
        "too_young_to_reject",
    ),
    "too short-lived for a caller, the budget used up": (
        state(spent(4, 1.9)),
        LONGER_LIFE,
        DEFAULTS,
        "foreign_minter",
    ),
    "too short-lived for a caller, too young": (
        state(aged(YOUNG - SECOND)),
        LONGER_LIFE,
        DEFAULTS,
        "too_young_to_reject",
    ),
    "too short-lived, replaced since": (
        state(token()),
        RefreshRequest("run-9", force=True, rejected_version="another version"),
        DEFAULTS,
        "rejected_version_not_current",
    ),
}


@pytest.mark.parametrize(("before", "request_", "rules", "verdict"), CASES.values(), ids=CASES)
def test_whether_a_refresh_is_due(
    before: State, request_: RefreshRequest, rules: Rules, verdict: str
) -> None:
    assert decide(before, request_, rules, NOW) == Verdict(verdict)


def test_the_table_has_every_verdict() -> None:
    assert {case[-1] for case in CASES.values()} == set(Verdict) - {Verdict.PROBE_SUCCEEDED}


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_is_due_or_not(verdict: Verdict) -> None:
    due = {
        "unfinished_intent",
        "no_token",
        "forced",
        "too_short_lived",
        "credentials_changed",
        "expires_soon",
        "too_old",
        "rejected",
    }
    assert verdict.due == (verdict in due)


@pytest.mark.parametrize(
    ("started_at", "over"),
    [
        (NOW, False),
        (NOW - LEASE + SECOND, False),
        (NOW - LEASE, True),
        (NOW - DAY, True),
        (NOW + LEASE - SECOND, False),
        (NOW + LEASE, True),
        (None, True),
    ],
)
def test_when_the_lease_of_an_intent_is_over(started_at: datetime | None, over: bool) -> None:  # noqa: FBT001 - a column of the table
    assert lease_over(intent(started_at=started_at), NOW) is over


def test_the_lease_outlives_the_function_and_ends_before_lambdas_retry() -> None:
    assert timedelta(seconds=45) < LEASE < MINUTE


def test_a_token_that_the_probe_proves_dead_need_not_be_old() -> None:
    young = state(aged(SECOND))
    assert decide(young, REJECTION, DEFAULTS, NOW, proven_dead=True) is Verdict.REJECTED
    used_up = state(spent(4, 1.9, age=SECOND))
    assert decide(used_up, REJECTION, DEFAULTS, NOW, proven_dead=True) is Verdict.FOREIGN_MINTER


@pytest.mark.parametrize("verdict", Verdict)
def test_only_what_callers_say_draws_on_their_budget(verdict: Verdict) -> None:
    assert verdict.by_caller == (verdict in {"rejected", "too_short_lived"})


@pytest.mark.parametrize(
    ("question", "late"),
    [
        (None, False),
        (intent(started_at=None), True),
        (intent(started_at=NOW - LEASE - LATE_MINT_WINDOW + SECOND), True),
        (intent(started_at=NOW - LEASE - LATE_MINT_WINDOW), False),
    ],
)
def test_an_unfinished_run_may_kill_a_later_token_for_so_long(question: Intent | None, *, late: bool) -> None:
    assert may_be_killed_late(NOW, question) is late
