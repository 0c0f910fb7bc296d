"""Waiting for a token that is being made: within the caller's deadline, then a clear error."""

from __future__ import annotations

from typing import TYPE_CHECKING, override

import pytest

from token_client import TokenUnavailable, VendingUnavailable
from token_client._freshness import PAUSE_LAST_SECONDS, PAUSE_LONGEST_SECONDS

from .fakes import Clock, ScriptedSource, timed

if TYPE_CHECKING:
    from token_client import TokenClient


def client(source: ScriptedSource, clock: Clock, wait_seconds: float = 20) -> TokenClient:
    return timed(clock, source, wait_seconds=wait_seconds)


def test_a_client_waits_as_long_as_advised_and_not_less(source: ScriptedSource, clock: Clock) -> None:
    source.fails(TokenUnavailable("minting", retry_after=5))
    source.gives("first")

    client(source, clock).get()

    assert len(clock.slept) == 1
    assert 5 <= clock.slept[0] <= 6


def test_a_client_asks_again_until_the_deadline(source: ScriptedSource, clock: Clock) -> None:
    for _ in range(4):
        source.fails(TokenUnavailable("minting", retry_after=5))

    with pytest.raises(TokenUnavailable, match="minting") as caught:
        client(source, clock, wait_seconds=20).get()

    assert sum(clock.slept) <= 20
    assert len(source.requests) == 4
    assert caught.value.retry_after == 5


def test_a_client_does_not_wait_for_what_cannot_be_in_time(source: ScriptedSource, clock: Clock) -> None:
    source.fails(TokenUnavailable("younger than the minimum age", retry_after=900))

    with pytest.raises(TokenUnavailable) as caught:
        client(source, clock).get()

    assert clock.slept == []
    assert caught.value.retry_after == 900


def test_a_long_advice_is_reported_as_it_is_and_blinds_nobody_for_long(
    source: ScriptedSource, clock: Clock
) -> None:
    shared = client(source, clock)
    source.fails(TokenUnavailable("younger than the minimum age", retry_after=900))
    for _ in range(3):
        with pytest.raises(TokenUnavailable) as caught:
            shared.get()
        assert caught.value.retry_after == 900
    assert len(source.requests) == 1

    clock.now += PAUSE_LONGEST_SECONDS + 1
    source.gives("minted by an operator meanwhile")

    assert shared.get().version == "minted by an operator meanwhile"
    assert clock.slept == []


def test_who_waits_for_long_looks_again_now_and_then(source: ScriptedSource, clock: Clock) -> None:
    source.fails(TokenUnavailable("younger than the minimum age", retry_after=900))
    source.gives("first")

    assert client(source, clock, wait_seconds=3600).get().version == "first"
    assert sum(clock.slept) <= PAUSE_LONGEST_SECONDS + 1


def test_the_deadline_of_a_call_goes_before_the_clients(source: ScriptedSource, clock: Clock) -> None:
    source.fails(TokenUnavailable("minting", retry_after=30))
    source.gives("first")

    assert client(source, clock, wait_seconds=0).get(wait_seconds=60).version == "first"


def test_pauses_after_failures_grow_to_a_ceiling(source: ScriptedSource, clock: Clock) -> None:
    for _ in range(12):
        source.fails(VendingUnavailable("Lambda answered 500"))
    source.gives("first")

    client(source, clock, wait_seconds=300).get()

    assert clock.slept == sorted(clock.slept)
    assert clock.slept[-1] == PAUSE_LAST_SECONDS * 0.5


def test_a_token_that_another_thread_got_meanwhile_ends_the_wait(
    source: ScriptedSource, clock: Clock
) -> None:
    shared = client(source, clock)
    source.fails(TokenUnavailable("minting", retry_after=5))
    source.gives("first")

    def other_thread() -> None:
        clock.while_sleeping = None
        clock.now += 1
        shared.get()

    clock.while_sleeping = other_thread

    assert shared.get().version == "first"
    assert len(source.requests) == 2


def test_a_long_freeze_in_the_middle_of_a_wait_ends_with_one_more_try(
    source: ScriptedSource, clock: Clock
) -> None:
    source.fails(TokenUnavailable("minting", retry_after=5))
    source.gives("first")

    def frozen() -> None:
        clock.now += 3600

    clock.while_sleeping = frozen

    assert client(source, clock).get().version == "first"
    assert clock.would_wait == [20, 2]


@pytest.mark.parametrize("expires_in", [0, -5])
def test_an_expired_token_from_the_vending_side_is_not_returned(
    source: ScriptedSource, clock: Clock, expires_in: float
) -> None:
    source.gives("dead", expires_in=expires_in)
    source.gives("first")

    with pytest.raises(TokenUnavailable, match="expired"):
        client(source, clock).get(wait_seconds=0)
    clock.now += 10
    assert client(source, clock).get().version == "first"


def test_a_stale_token_is_served_without_asking_again_right_after_a_failure(
    source: ScriptedSource, clock: Clock
) -> None:
    shared = client(source, clock)
    source.gives("first", cache_seconds=300)
    shared.get()
    clock.now += 301
    source.fails(VendingUnavailable("Lambda answered 500"))

    assert [shared.get().version for _ in range(5)] == ["first"] * 5
    assert len(source.requests) == 2
    assert clock.slept == []


def test_a_wall_clock_set_back_lengthens_no_wait(source: ScriptedSource, clock: Clock) -> None:
    class SetBack(Clock):
        @override
        def wall(self) -> float:
            return self.now - 100 * len(self.slept)  # each sleep, the wall clock is found a little earlier

    set_back = SetBack()
    for _ in range(9):
        source.fails(TokenUnavailable("minting", retry_after=5))

    with pytest.raises(TokenUnavailable):
        timed(set_back, source, wait_seconds=12).get()

    assert sum(set_back.slept) <= 12


def test_a_request_that_hangs_costs_the_first_caller_the_short_wait_and_the_others_nothing(
    source: ScriptedSource, clock: Clock
) -> None:
    shared = client(source, clock)
    source.gives("first", cache_seconds=300)
    shared.get()
    clock.now += 300.1
    source.gives("second")
    source.may_answer.clear()
    clock.hangs = True

    assert [shared.get(wait_seconds=seconds).version for seconds in (0, 20, 1)] == ["first"] * 3

    assert clock.waited_in_vain == [2, 0, 0]
    source.may_answer.set()


@pytest.mark.parametrize("wait_seconds", [0.5, 1, 7])
def test_nobody_waits_beyond_a_deadline_of_its_own(
    source: ScriptedSource, clock: Clock, wait_seconds: float
) -> None:
    source.gives("first")
    source.may_answer.clear()
    clock.hangs = True

    with pytest.raises(VendingUnavailable, match=f"within {wait_seconds:g} s"):
        client(source, clock).get(wait_seconds=wait_seconds)

    assert clock.waited_in_vain == [wait_seconds]
    source.may_answer.set()


def test_a_report_to_a_vending_side_that_hangs_is_waited_for_shortly_and_made_all_the_same(
    source: ScriptedSource, clock: Clock
) -> None:
    shared = client(source, clock)
    source.gives("first")
    shared.get()
    source.gives("second")
    source.may_answer.clear()
    clock.hangs = True

    shared.reject("first")

    assert clock.waited_in_vain == [2]
    clock.hangs = False
    source.may_answer.set()
    assert shared.get().version == "second"
    assert [request.rejected_version for request in source.requests] == [None, "first"]
