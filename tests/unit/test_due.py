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
from token_vending.token import History, Token

TICK = RefreshRequest("run-9")
FORCED = RefreshRequest("run-9", force=True)
REJECTION = RefreshRequest("run-9", rejected_version=VERSION)
LONGER_LIFE = RefreshRequest("run-9", force=True, rejected_version=VERSION)
OTHER_REJECTION = RefreshRequest("run-9", rejected_version="another version")
LONGER_THAN_OTHER = RefreshRequest("run-9", force=True, rejected_version="another version")
DEFAULTS = Rules()
UNAGED = Rules(max_age=None)
SUSPECT = aged(SECOND, suspect_until=NOW + SECOND)
NO_LONGER_SUSPECT = aged(59 * SECOND, suspect_until=NOW)
MONTH = 30 * DAY
OLD = 21 * DAY
YOUNG = 60 * SECOND


def unfinished(held: Token | None) -> State:
    """A run that died may have killed it."""
    return State(held, CREDENTIALS_VERSION, intent())


def changed(held: Token) -> State:
    """Other credentials have been stored since it was minted."""
    return State(held, "new")


def inside(left: timedelta, reason: str = "expires_soon", lifetime: timedelta = 10 * DAY) -> Token:
    """A token whose whole life is shorter than RenewBeforeDays."""
    return expiring(left, lifetime, reason=reason)


def spent(*minutes_ago: float, age: timedelta | None = None, **changes: object) -> Token:
    """A token after callers have caused mints so many minutes ago: the last one's, unless it has another age."""
    history = History(tuple(NOW - ago * MINUTE for ago in minutes_ago))
    return aged(minutes_ago[-1] * MINUTE if age is None else age, history=history, **changes)


SIX_AND_SUSPECT = spent(*range(15, 9, -1), age=MINUTE, suspect_until=NOW + SECOND)

type Held = Token | State | None
"""A token with nothing else to tell, or the whole state."""
type Case = tuple[Held, RefreshRequest, str] | tuple[Held, RefreshRequest, str, Rules]
"""What is there, the request, the verdict, and rules other than the defaults."""
CASES: dict[str, Case] = {
    # Nothing to do
    "a healthy token": (token(), TICK, "fresh"),
    # No token
    "nothing minted yet": (None, TICK, "no_token"),
    "nothing minted yet, and rejected": (None, REJECTION, "no_token"),
    # An unfinished intent
    "an unfinished intent": (unfinished(token()), TICK, "unfinished_intent"),
    "an unfinished intent, no token": (unfinished(None), TICK, "unfinished_intent"),
    "an unfinished intent, rejected too young": (unfinished(aged(SECOND)), REJECTION, "unfinished_intent"),
    # Forced
    "forced": (token(), FORCED, "forced"),
    "forced, a moment after a mint": (aged(SECOND), FORCED, "forced"),
    "forced and served": (token(run="run-9/intent-1"), FORCED, "already_served"),
    "forced and served, written without an attempt": (token(run="run-9"), FORCED, "already_served"),
    "forced, served by a run of a similar name": (token(run="run-99/intent-1"), FORCED, "forced"),
    "forced and served, but too old": (aged(OLD, run="run-9/1"), FORCED, "too_old"),
    # Credentials
    "changed credentials": (changed(token()), TICK, "credentials_changed"),
    "changed credentials, a moment after a mint": (changed(aged(SECOND)), TICK, "credentials_changed"),
    "changed credentials, and rejected": (changed(token()), REJECTION, "credentials_changed"),
    # Expiry
    "one second before the window": (expiring(MONTH + SECOND, reason="too_old"), TICK, "too_old"),
    "one second before the window, no age bound": (expiring(MONTH + SECOND), TICK, "fresh", UNAGED),
    "at the window": (expiring(MONTH), TICK, "expires_soon"),
    "expired this second": (expiring(0 * SECOND), TICK, "expires_soon"),
    "expired long ago": (expiring(-DAY), TICK, "expires_soon"),
    "expired, no window": (expiring(0 * SECOND), TICK, "expires_soon", Rules(0 * DAY, None)),
    "a second left, no window": (expiring(SECOND), TICK, "fresh", Rules(0 * DAY, None)),
    "in the window, and rejected too young": (inside(10 * DAY - SECOND, "forced"), REJECTION, "expires_soon"),
    # Born inside the window
    "born inside, just over half its life left": (inside(5 * DAY + SECOND), TICK, "fresh"),
    "born inside, half its life left": (inside(5 * DAY), TICK, "expires_soon"),
    "born inside, for another reason": (inside(9 * DAY, "forced"), TICK, "expires_soon"),
    "born inside, expired": (inside(0 * DAY), TICK, "expires_soon"),
    "as long-lived as the window": (inside(29 * DAY, lifetime=MONTH), TICK, "fresh", UNAGED),
    "a second longer than the window": (
        inside(29 * DAY, lifetime=MONTH + SECOND),
        TICK,
        "expires_soon",
        UNAGED,
    ),
    # Age
    "one second too young to be old": (aged(OLD - SECOND), TICK, "fresh"),
    "old": (aged(OLD), TICK, "too_old"),
    "old, age bound off": (aged(YEAR / 2), TICK, "fresh", UNAGED),
    "old, and another version rejected": (aged(OLD), OTHER_REJECTION, "too_old"),
    # Rejections
    "rejected": (token(), REJECTION, "rejected"),
    "rejected, at the minimum age": (aged(YOUNG), REJECTION, "rejected"),
    "rejected, a second too young": (aged(YOUNG - SECOND), REJECTION, "too_young_to_reject"),
    "rejected, no minimum age": (aged(0 * SECOND), REJECTION, "rejected", Rules(min_age=0 * SECOND)),
    "rejected young, suspect": (SUSPECT, REJECTION, "rejected"),
    "rejected young, no longer suspect": (NO_LONGER_SUSPECT, REJECTION, "too_young_to_reject"),
    "another version rejected": (token(), OTHER_REJECTION, "rejected_version_not_current"),
    "another version rejected, suspect": (SUSPECT, OTHER_REJECTION, "rejected_version_not_current"),
    "minted in the future, rejected": (aged(-DAY), REJECTION, "rejected"),
    "minted a little ahead of this clock, rejected": (aged(-SECOND), REJECTION, "too_young_to_reject"),
    # The callers' budget
    "a mint for callers two minutes ago": (spent(2), REJECTION, "rejected"),
    "two of them, the pause of two minutes not over": (spent(4, 1.9), REJECTION, "foreign_minter"),
    "two of them, the pause over": (spent(4, 2), REJECTION, "rejected"),
    "two of them, the token suspect": (spent(4, 1.9, suspect_until=NOW + SECOND), REJECTION, "rejected"),
    "six within the hour, the token suspect": (SIX_AND_SUSPECT, REJECTION, "foreign_minter"),
    "a used up budget does not hinder a tick": (spent(4, 1, age=OLD), TICK, "too_old"),
    "a used up budget does not hinder a person": (spent(4, 1), FORCED, "forced"),
    "a used up budget does not hinder new credentials": (changed(spent(4, 1)), TICK, "credentials_changed"),
    # A caller who needs a longer life
    "too short-lived for a caller": (token(), LONGER_LIFE, "too_short_lived"),
    "too short-lived for a caller, suspect": (SUSPECT, LONGER_LIFE, "too_young_to_reject"),
    "too short-lived for a caller, the budget used up": (spent(4, 1.9), LONGER_LIFE, "foreign_minter"),
    "too short-lived for a caller, too young": (aged(YOUNG - SECOND), LONGER_LIFE, "too_young_to_reject"),
    "too short-lived, replaced since": (token(), LONGER_THAN_OTHER, "rejected_version_not_current"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_whether_a_refresh_is_due(case: Case) -> None:
    held, request, verdict, *rules = case
    before = held if isinstance(held, State) else State(held, CREDENTIALS_VERSION)
    assert decide(before, request, rules[0] if rules else DEFAULTS, NOW) == Verdict(verdict)


def test_the_table_has_every_verdict() -> None:
    assert {case[2] for case in CASES.values()} == set(Verdict) - {Verdict.PROBE_SUCCEEDED}


def test_which_verdicts_are_due_and_which_of_them_draw_on_the_callers_budget() -> None:
    by_caller = {"rejected", "too_short_lived"}
    due = {"unfinished_intent", "no_token", "forced", "credentials_changed", "expires_soon", "too_old"}
    assert {verdict for verdict in Verdict if verdict.due} == due | by_caller
    assert {verdict for verdict in Verdict if verdict.by_caller} == by_caller


@pytest.mark.parametrize(
    ("started_at", "over"),
    [
        *((NOW + offset, False) for offset in (0 * SECOND, SECOND - LEASE, LEASE - SECOND)),
        *((NOW + offset, True) for offset in (-LEASE, -DAY, LEASE)),
        (None, True),
    ],
)
def test_when_the_lease_of_an_intent_is_over(started_at: datetime | None, over: bool) -> None:  # noqa: FBT001 - a column of the table
    assert lease_over(intent(started_at=started_at), NOW) is over


def test_a_token_that_the_probe_proves_dead_need_not_be_old() -> None:
    young = State(aged(SECOND), CREDENTIALS_VERSION)
    assert decide(young, REJECTION, DEFAULTS, NOW, proven_dead=True) is Verdict.REJECTED
    used_up = State(spent(4, 1.9, age=SECOND), CREDENTIALS_VERSION)
    assert decide(used_up, REJECTION, DEFAULTS, NOW, proven_dead=True) is Verdict.FOREIGN_MINTER


@pytest.mark.parametrize(
    ("started_at", "late"),
    [
        (None, True),
        (NOW - LEASE - LATE_MINT_WINDOW + SECOND, True),
        (NOW - LEASE - LATE_MINT_WINDOW, False),
    ],
)
def test_an_unfinished_run_may_kill_a_later_token_for_so_long(
    started_at: datetime | None, *, late: bool
) -> None:
    assert may_be_killed_late(NOW, intent(started_at=started_at)) is late
    assert not may_be_killed_late(NOW, None)
