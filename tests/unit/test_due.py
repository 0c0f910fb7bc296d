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
    credentials,
    expiring,
    intent,
    token,
)
from token_vending.due import (
    LEASE,
    Rules,
    State,
    Verdict,
    choose_account,
    decide,
    failed_since,
    lease_over,
    recent_early_deaths,
    wait_after_failures,
)
from token_vending.requests import RefreshRequest
from token_vending.token import Intent, Token

TICK = RefreshRequest("run-9")
FORCED = RefreshRequest("run-9", force=True)
REJECTION = RefreshRequest("run-9", rejected_version=VERSION)
LONGER_LIFE = RefreshRequest("run-9", force=True, rejected_version=VERSION)
OTHER_REJECTION = RefreshRequest("run-9", rejected_version="another version")
DEFAULTS = Rules()
MONTH = 30 * DAY
OLD = 21 * DAY
YOUNG = 900 * SECOND


def state(
    held: Token | None, credentials_version: str = CREDENTIALS_VERSION, lock: Intent | None = None
) -> State:
    return State(held, credentials_version, lock)


def born_inside_the_window(
    left: timedelta, reason: str = "expires_soon", lifetime: timedelta = 10 * DAY
) -> Token:
    """A token whose whole life is shorter than RenewBeforeDays."""
    return expiring(left, lifetime, reason=reason)


DEATHS = (NOW - 40 * MINUTE, NOW - 20 * MINUTE)
FINISHED = intent(run=token().run)

CASES = {
    # Nothing to do
    "a healthy token": (state(token()), TICK, DEFAULTS, "fresh"),
    "a finished lock": (state(token(), lock=FINISHED), TICK, DEFAULTS, "fresh"),
    # No token
    "nothing minted yet": (state(None), TICK, DEFAULTS, "no_token"),
    "nothing minted yet, and rejected": (state(None), REJECTION, DEFAULTS, "no_token"),
    # An unfinished intent
    "an unfinished intent": (state(token(), lock=intent()), TICK, DEFAULTS, "unfinished_intent"),
    "an unfinished intent, no token": (state(None, lock=intent()), TICK, DEFAULTS, "unfinished_intent"),
    "an unfinished intent, and rejected too young": (
        state(aged(SECOND), lock=intent()),
        REJECTION,
        DEFAULTS,
        "unfinished_intent",
    ),
    "another attempt at the event that minted": (
        state(token(run="run-9/intent-1"), lock=intent(run="run-9/intent-2")),
        TICK,
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
        state(aged(MINUTE, suspect_until=NOW)),
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
    # Somebody else mints
    "the second death within the hour": (
        state(token(early_deaths=DEATHS[:1])),
        REJECTION,
        DEFAULTS,
        "rejected",
    ),
    "the third death within the hour": (
        state(token(early_deaths=DEATHS)),
        REJECTION,
        DEFAULTS,
        "foreign_minter",
    ),
    "the third death, suspect": (
        state(aged(SECOND, early_deaths=DEATHS, suspect_until=NOW + SECOND)),
        REJECTION,
        DEFAULTS,
        "foreign_minter",
    ),
    "three deaths, the first an hour ago": (
        state(token(early_deaths=(NOW - 60 * MINUTE, NOW - 20 * MINUTE))),
        REJECTION,
        DEFAULTS,
        "rejected",
    ),
    "three deaths, the first a second less ago": (
        state(token(early_deaths=(NOW - 60 * MINUTE + SECOND, NOW - 20 * MINUTE))),
        REJECTION,
        DEFAULTS,
        "foreign_minter",
    ),
    "three deaths do not hinder a tick": (state(aged(OLD, early_deaths=DEATHS)), TICK, DEFAULTS, "too_old"),
    "three deaths do not hinder a person": (state(token(early_deaths=DEATHS)), FORCED, DEFAULTS, "forced"),
    # A caller who needs a longer life
    "too short-lived for a caller": (state(token()), LONGER_LIFE, DEFAULTS, "too_short_lived"),
    "too short-lived, and minted for that very reason": (
        state(expiring(51 * DAY, 100 * DAY, reason="too_short_lived")),
        LONGER_LIFE,
        Rules(max_age=None),
        "no_longer_life_to_have",
    ),
    "too short-lived, minted for that reason, half spent": (
        state(expiring(50 * DAY, 100 * DAY, reason="too_short_lived")),
        LONGER_LIFE,
        Rules(max_age=None),
        "too_short_lived",
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
    "too short-lived is no early death": (
        state(token(early_deaths=DEATHS)),
        LONGER_LIFE,
        DEFAULTS,
        "too_short_lived",
    ),
}


@pytest.mark.parametrize(("before", "request_", "rules", "verdict"), CASES.values(), ids=CASES)
def test_the_verdict(before: State, request_: RefreshRequest, rules: Rules, verdict: str) -> None:
    assert decide(before, request_, rules, NOW) == Verdict(verdict)


def test_the_table_has_every_verdict() -> None:
    assert {case[-1] for case in CASES.values()} == set(Verdict)


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
def test_the_lease(started_at: datetime | None, over: bool) -> None:  # noqa: FBT001 - a column of the table
    assert lease_over(intent(started_at=started_at), NOW) is over


def test_the_lease_outlives_the_function_and_ends_before_lambdas_retry() -> None:
    assert timedelta(seconds=45) < LEASE < MINUTE


def test_deaths_count_for_an_hour_and_never_ahead_of_time() -> None:
    deaths = (NOW - 60 * MINUTE, NOW - 59 * MINUTE, NOW, NOW + SECOND)
    assert recent_early_deaths(token(early_deaths=deaths), NOW) == deaths[1:3]
    assert recent_early_deaths(None, NOW) == ()


ONE, TWO = credentials("one"), credentials("standby:two")


@pytest.mark.parametrize(
    ("refusals", "request_", "chosen"),
    [
        ({}, TICK, ONE),
        ({"one": None}, TICK, TWO),
        ({"standby:two": None}, TICK, ONE),
        ({"one": None, "standby:two": None}, TICK, None),
        ({"one": "run-8/1"}, FORCED, TWO),
        ({"one": "run-9/1"}, FORCED, TWO),
        ({"one": "run-9/1", "standby:two": "run-8/1"}, FORCED, TWO),
        ({"one": "run-9/1", "standby:two": "run-9/2"}, FORCED, None),
        ({"one": None, "standby:two": None}, FORCED, ONE),
        ({"one": "run-8/1", "standby:two": "run-8/1"}, LONGER_LIFE, None),
        ({"an older version": None}, TICK, ONE),
    ],
)
def test_which_account_mints(
    refusals: dict[str, str | None], request_: RefreshRequest, chosen: object
) -> None:
    assert choose_account([ONE, TWO], refusals, request_) is chosen


@pytest.mark.parametrize(
    ("failures", "started", "minutes"),
    [
        (1, NOW, 0),
        (9, NOW, 0),
        (10, NOW, 1),
        (11, NOW, 2),
        (14, NOW, 16),
        (15, NOW, 20),
        (10**9, NOW, 20),
        (14, NOW - 4 * MINUTE, 12),
        (15, NOW - 20 * MINUTE, 0),
    ],
)
def test_how_long_to_wait_after_failures(failures: int, started: datetime, minutes: int) -> None:
    last = Intent("i", "r", started, "no_token")
    assert wait_after_failures(failures, last, NOW) == minutes * MINUTE


@pytest.mark.parametrize("started", [None, NOW + SECOND])
def test_a_failure_at_no_known_time_is_not_waited_for(started: datetime | None) -> None:
    assert wait_after_failures(99, Intent("i", "r", started, "no_token"), NOW) == timedelta(0)


def test_a_failure_before_the_last_success_is_no_news() -> None:
    before_it = Intent("i", "r", NOW - SECOND, "no_token")
    assert not failed_since(before_it, token(issued_at=NOW))
    assert failed_since(before_it, token(issued_at=NOW - MINUTE))
    assert failed_since(before_it, None)
