"""However many threads ask, one request is on its way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from token_client import CallerNotAllowed, TokenClient, TokenUnavailable, VendingUnavailable
from token_client._flights import LOST_AFTER_SECONDS

from .fakes import WAIT_SECONDS, ScriptedSource, timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_client import Token

    from .fakes import Clock

THREADS = 64


def all_at_once[T](work: Callable[[], T], source: ScriptedSource) -> list[T]:
    """Run `work` in every thread; the source answers only when all of them are on their way."""
    source.asked.clear()
    source.may_answer.clear()
    ready = threading.Barrier(THREADS + 1)

    def run() -> T:
        ready.wait(WAIT_SECONDS)
        return work()

    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(run) for _ in range(THREADS)]
        ready.wait(WAIT_SECONDS)
        assert source.asked.wait(WAIT_SECONDS)
        source.may_answer.set()
        return [future.result(WAIT_SECONDS) for future in futures]


@pytest.fixture
def client(source: ScriptedSource, clock: Clock) -> TokenClient:
    return timed(clock, source)


def test_64_threads_on_a_cold_client_make_one_request(source: ScriptedSource, client: TokenClient) -> None:
    source.gives("first")

    tokens = all_at_once(client.get, source)

    assert {token.version for token in tokens} == {"first"}
    assert len(source.requests) == 1


def test_64_threads_on_an_expired_token_make_one_request(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first", expires_in=3600)
    client.get()
    clock.now += 3600
    source.gives("second")

    tokens = all_at_once(client.get, source)

    assert {token.version for token in tokens} == {"second"}
    assert len(source.requests) == 2


def test_64_threads_that_all_met_a_401_make_one_report(source: ScriptedSource, client: TokenClient) -> None:
    source.gives("first")
    dead = client.get().version
    source.gives("second")

    def heal() -> Token:
        client.reject(dead)
        return client.get()

    tokens = all_at_once(heal, source)

    assert {token.version for token in tokens} == {"second"}
    assert [request.rejected_version for request in source.requests] == [None, "first"]


def test_a_failure_is_everybodys_and_each_has_a_traceback_of_its_own(
    source: ScriptedSource, client: TokenClient
) -> None:
    source.fails(CallerNotAllowed("not this role"))

    def error() -> CallerNotAllowed:
        with pytest.raises(CallerNotAllowed, match="not this role") as caught:
            client.get()
        return caught.value

    errors = all_at_once(error, source)

    assert len({id(error) for error in errors}) == THREADS
    assert len(source.requests) == 1


def test_an_advisory_renewal_holds_nobody_up(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first", cache_seconds=300)
    client.get()
    clock.now += 299
    source.gives("second")
    source.asked.clear()
    source.may_answer.clear()  # nobody answers: who waited for it would hang

    assert [client.get().version for _ in range(5)] == ["first"] * 5

    assert source.asked.wait(WAIT_SECONDS)
    source.may_answer.set()
    for thread in threading.enumerate():
        if thread.name == "token-client-request":
            thread.join(WAIT_SECONDS)
    assert client.get().version == "second"
    assert len(source.requests) == 2


def test_a_rejection_is_not_satisfied_by_a_renewal_that_did_not_know_of_it(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first", cache_seconds=300)
    client.get()
    clock.now += 299
    source.gives("first")  # what the renewal, asked before the 401, brings back
    source.gives("second")  # the answer to the report
    source.asked.clear()
    source.may_answer.clear()
    client.get()
    assert source.asked.wait(WAIT_SECONDS)

    def heal() -> Token:
        client.reject("first")
        return client.get()

    with ThreadPoolExecutor(1) as pool:
        healed = pool.submit(heal)
        source.may_answer.set()
        assert healed.result(WAIT_SECONDS).version == "second"

    assert [request.rejected_version for request in source.requests] == [None, None, "first"]


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


def test_a_request_that_never_comes_back_is_given_up_for_lost(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.may_answer.clear()
    clock.hangs = True
    source.gives("never")
    for _ in range(3):
        with pytest.raises(VendingUnavailable, match="within 20 s"):
            client.get()
    assert len(source.requests) == 1

    clock.now += LOST_AFTER_SECONDS
    with pytest.raises(VendingUnavailable):
        client.get()

    assert len(source.requests) == 2
    source.may_answer.set()


def test_a_process_without_threads_to_spare_hears_of_it(
    source: ScriptedSource, client: TokenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)

    with pytest.raises(VendingUnavailable, match="no thread"):
        client.get(wait_seconds=0)
    assert source.requests == []


def test_a_failed_request_is_not_made_again_before_its_time(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.fails(TokenUnavailable("minting", retry_after=30))

    for _ in range(10):
        with pytest.raises(TokenUnavailable):
            client.get(wait_seconds=0)
    assert len(source.requests) == 1

    clock.now += 11
    source.gives("first")
    assert client.get(wait_seconds=0).version == "first"
