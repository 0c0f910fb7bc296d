"""Waiting for the one request on its way: within the caller's deadline, then a clear error."""

from __future__ import annotations

import threading
from typing import override

import pytest

from token_client import TokenClient, TokenUnavailable, VendingUnavailable
from token_client._flights import LOST_AFTER_SECONDS
from token_client._freshness import PAUSE_LAST_SECONDS, PAUSE_LONGEST_SECONDS

from .fakes import Clock, ScriptedSource, let_requests_end, timed

MINTING = TokenUnavailable("minting", retry_after=5)
TOO_YOUNG = TokenUnavailable("younger than the minimum age", retry_after=900)


@pytest.mark.parametrize("set_back_seconds", [0, 100])
def test_a_client_asks_again_until_the_deadline_also_by_a_wall_clock_that_is_set_back(
    source: ScriptedSource, set_back_seconds: float
) -> None:
    class SetBack(Clock):
        @override
        def wall(self) -> float:
            return self.now - set_back_seconds * len(self.slept)

    clock = SetBack()
    source.fails(*[MINTING] * 4)

    with pytest.raises(TokenUnavailable, match="minting") as caught:
        timed(clock, source).get()

    assert sum(clock.slept) <= 20
    assert len(source.requests) == 4
    assert caught.value.retry_after == 5


def test_a_long_advice_is_reported_as_it_is_and_blinds_nobody_for_long(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.fails(TOO_YOUNG)
    errors = set()
    for _ in range(3):
        with pytest.raises(TokenUnavailable) as caught:
            client.get()
        assert caught.value.retry_after == 900
        errors.add(caught.value)
    assert len(errors) == 3, "each caller's error has a traceback of its own"
    assert len(source.requests) == 1

    clock.now += PAUSE_LONGEST_SECONDS + 1
    source.gives("minted by an operator meanwhile")

    assert client.get().version == "minted by an operator meanwhile"
    assert clock.slept == []


def test_the_deadline_of_a_call_goes_before_the_clients_and_a_long_wait_looks_again_now_and_then(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.fails(TOO_YOUNG)
    source.gives("first")

    assert client.get(wait_seconds=3600).version == "first"
    assert sum(clock.slept) <= PAUSE_LONGEST_SECONDS + 1


def test_pauses_after_failures_grow_to_a_ceiling(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.fails(*[VendingUnavailable("Lambda answered 500")] * 12)
    source.gives("first")

    client.get(wait_seconds=300)

    assert clock.slept == sorted(clock.slept)
    assert clock.slept[-1] == PAUSE_LAST_SECONDS * 0.5


def test_a_token_that_another_thread_got_meanwhile_ends_the_wait(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.fails(MINTING)
    source.gives("first")

    def other_thread() -> None:
        clock.while_sleeping = None
        clock.now += 1
        client.get()

    clock.while_sleeping = other_thread

    assert client.get().version == "first"
    assert len(source.requests) == 2


def test_a_long_freeze_in_the_middle_of_a_wait_ends_with_one_more_try(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.fails(MINTING)
    source.gives("first")

    def frozen() -> None:
        clock.now += 3600

    clock.while_sleeping = frozen

    assert client.get().version == "first"
    assert clock.would_wait == [20, 2]


@pytest.mark.parametrize("expires_in", [0, -5])
def test_an_expired_token_from_the_vending_side_is_not_returned(
    source: ScriptedSource, client: TokenClient, expires_in: float
) -> None:
    source.gives("dead", expires_in=expires_in)

    with pytest.raises(TokenUnavailable, match="expired"):
        client.get(wait_seconds=0)


@pytest.mark.parametrize(("age", "waited"), [(299, []), (300.1, [2, 0, 0])])
def test_a_renewal_that_hangs_costs_the_first_caller_of_a_stale_token_the_short_wait_and_nobody_else(
    source: ScriptedSource, client: TokenClient, clock: Clock, age: float, waited: list[float]
) -> None:
    source.gives("first", cache_seconds=300)
    client.get()
    clock.now += age
    source.gives("second")
    source.may_answer.clear()
    clock.hangs = True

    assert [client.get(wait_seconds=seconds).version for seconds in (0, 20, 1)] == ["first"] * 3

    assert clock.waited_in_vain == waited
    source.may_answer.set()
    let_requests_end()
    assert client.get().version == "second"
    assert len(source.requests) == 2


def test_nobody_waits_beyond_a_deadline_of_its_own_and_a_request_that_never_returns_is_given_up_for_lost(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("never")
    source.may_answer.clear()
    clock.hangs = True
    for seconds in (0.5, 7, 20):
        with pytest.raises(VendingUnavailable, match=f"within {seconds:g} s"):
            client.get(wait_seconds=seconds)
    assert clock.waited_in_vain == [0.5, 7, 20]
    assert len(source.requests) == 1

    clock.now += LOST_AFTER_SECONDS
    with pytest.raises(VendingUnavailable):
        client.get()

    assert len(source.requests) == 2
    source.may_answer.set()


def test_a_source_that_breaks_frees_those_who_wait_for_it_and_is_named(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.fails(KeyError("unforeseen"))
    with pytest.raises(VendingUnavailable, match="broke: KeyError") as caught:
        client.get(wait_seconds=0)
    assert isinstance(caught.value.__cause__, KeyError)

    clock.now += 10
    source.gives("first")
    assert client.get().version == "first"


def test_a_process_without_threads_to_spare_hears_of_it(
    source: ScriptedSource, client: TokenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)

    with pytest.raises(VendingUnavailable, match="no thread"):
        client.get(wait_seconds=0)
    assert source.requests == []
