"""The callers' budget, the pause after failures, and the room for versions: pure rules over what records carry."""

from datetime import datetime, timedelta

import pytest

from tests.unit.made_up import DAY, MINUTE, NOW, SECOND, intent, token
from token_vending import history
from token_vending.history import FREE_FAILURES, caller_wait, failure_wait, has_room, quiet
from token_vending.token import History, Intent, Token

HOUR = 60 * MINUTE
NOTHING = timedelta(0)


def mints(*minutes_ago: float) -> History:
    return History(tuple(NOW - ago * MINUTE for ago in minutes_ago))


def announced(
    failed: Intent | None = None,
    question: Intent | None = None,
    now: datetime = NOW,
    *,
    by_caller: bool = False,
    before: Token | None = None,
) -> History:
    """What the next record says of the earlier ones, unless told otherwise after a healthy token."""
    return history.announced(
        before or token(), failed=failed, question=question, now=now, by_caller=by_caller
    )


def spent(*minutes_ago: float) -> Token:
    """A token of this moment, after callers have caused mints so many minutes ago."""
    return token(issued_at=NOW, history=mints(*minutes_ago))


@pytest.mark.parametrize(
    ("minutes_ago", "wait_minutes"),
    [
        ([], 0),
        ([0], 1),
        ([1], 0),
        ([1, 0], 2),
        ([3, 2, 0], 4),
        ([7, 6, 4, 0], 8),
        ([31, 30, 28, 24, 16, 0], 32),
        ([63, 62, 60, 56, 48, 32, 0], 60),
        # Each quiet hour takes one doubling back.
        ([67, 66, 64, 60, 0], 8),
        ([400, 0], 1),
        # What lies before the last day does not count.
        ([24 * 60], 0),
    ],
)
def test_the_pause_between_mints_for_callers_doubles(minutes_ago: list[float], wait_minutes: float) -> None:
    assert caller_wait(spent(*minutes_ago), NOW, MINUTE) == wait_minutes * MINUTE


def test_without_a_pause_six_an_hour_and_thirty_a_day_still_hold() -> None:
    """And a minute more: a mint happens after it is written down, and by another clock. Seven fell into an hour."""
    assert caller_wait(spent(50, 40, 30, 20, 10), NOW, NOTHING) == timedelta(0)
    assert caller_wait(spent(50, 40, 30, 20, 10, 0), NOW, NOTHING) == 11 * MINUTE
    thirty = spent(*range(1400, 1400 - 30 * 20, -20))
    assert caller_wait(thirty, NOW, NOTHING) == 41 * MINUTE
    assert caller_wait(spent(*[1440] * 30), NOW, NOTHING) == MINUTE


def failed(failures: int, for_minutes: float, ago: timedelta = timedelta(0)) -> Intent:
    """The last of so many runs that failed in a row, begun so long ago, so long after the first of them."""
    started = NOW - ago
    return intent(
        started_at=started,
        history=History(failures=failures - 1, failing_since=started - for_minutes * MINUTE),
    )


@pytest.mark.parametrize(
    ("last", "seconds"),
    [
        (None, 0),
        (failed(FREE_FAILURES - 1, 600), 0),
        (failed(FREE_FAILURES, 0), 45),
        (failed(FREE_FAILURES, 9), 45),
        (failed(FREE_FAILURES, 12), 60),
        (failed(FREE_FAILURES, 120), 600),
        (failed(FREE_FAILURES, 120, ago=4 * MINUTE), 360),
        (failed(FREE_FAILURES, 10_000), 3600),
        (intent(started_at=None, history=History(failures=99)), 0),
        (intent(started_at=NOW + SECOND, history=History(failures=99)), 0),
    ],
)
def test_the_pause_after_ten_failures_is_a_twelfth_of_the_time_they_took(
    last: Intent | None, seconds: int
) -> None:
    assert failure_wait(last, NOW) == seconds * SECOND


def test_failures_are_counted_from_record_to_record() -> None:
    first = announced()
    assert (first.failures, first.failing_since) == (0, None)
    second = announced(intent(started_at=NOW, history=first), now=NOW + MINUTE)
    assert (second.failures, second.failing_since) == (1, NOW)
    third = announced(intent(history=second), now=NOW + HOUR)
    assert (third.failures, third.failing_since) == (2, NOW)


def test_what_callers_caused_counts_on_only_while_it_may_have_minted() -> None:
    begun = announced(by_caller=True)
    assert begun.caller_mints == (NOW,)
    died, later = intent(history=begun), NOW + MINUTE
    assert announced(died, died, later).caller_mints == (later,)
    assert announced(died, None, later, by_caller=True).caller_mints == (later,)


def test_what_is_taken_over_counts_when_it_is_minted_and_once() -> None:
    """It counted when it was asked for: a question that stayed open for an hour made a seventh mint in an hour."""
    before = token(history=mints(3))
    asked = announced(by_caller=True, before=before)
    again = announced(None, intent(history=asked), NOW + MINUTE, before=before)
    last = announced(None, intent(history=again), NOW + HOUR, before=before)
    assert last.caller_mints == (NOW - 3 * MINUTE, NOW + HOUR)
    forced = announced(before=before)
    ours = announced(None, intent(history=forced), NOW + 2 * DAY, before=before)
    assert ours.caller_mints == ()


@pytest.mark.parametrize("by_caller", [True, False])
def test_a_mint_that_another_clock_has_written_is_not_forgotten(*, by_caller: bool) -> None:
    ahead = NOW + 9 * SECOND
    assert ahead in announced(by_caller=by_caller, before=token(history=History((ahead,)))).caller_mints


@pytest.mark.parametrize(
    ("latest", "caller", "tick", "person"),
    [
        (NOW - HOUR + SECOND, 78, 78, 98),
        *((latest, 90, 94, 98) for latest in (NOW - HOUR, NOW + DAY, None)),
    ],
)
def test_callers_leave_room_for_ticks_and_ticks_for_persons(
    latest: datetime | None, caller: int, tick: int, person: int
) -> None:
    for most, for_a_caller, by_a_person in (
        (caller, True, False),
        (tick, False, False),
        (person, False, True),
    ):
        room = [
            has_room(kept, latest, NOW, for_a_caller=for_a_caller, by_a_person=by_a_person)
            for kept in range(110)
        ]
        assert room == [kept <= most for kept in range(110)]


def test_a_stack_is_quiet_that_has_written_little() -> None:
    assert quiet(None, NOW)
    assert quiet(token(history=mints(*range(10))), NOW)
    assert not quiet(token(history=mints(*range(11))), NOW)
    assert not quiet(intent(history=History(failures=11)), NOW)


def test_no_mint_for_callers_counts_as_later_than_the_token() -> None:
    """A clock that ran ahead must not keep a dead token for longer than the pause."""
    ahead = token(issued_at=NOW - 2 * MINUTE, history=mints(-30))
    assert caller_wait(ahead, NOW, MINUTE) == timedelta(0)
