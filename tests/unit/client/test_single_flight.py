"""However many threads ask, one request is on its way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from token_client import CallerNotAllowed, TokenClient

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
