"""The same client in asyncio and in trio: one request, no thread that waits, cancellation at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from token_client import CallerNotAllowed, TokenClient, VendingUnavailable
from token_client._flights import THREAD_NAME
from token_client.testing import FakeTokenSource

from .fakes import WAIT_SECONDS, ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TASKS = 500


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    return lambda work: anyio.run(work, backend=request.param)


@pytest.fixture
def held_up(source: ScriptedSource) -> ScriptedSource:
    """A source that does not answer before it is told to."""
    source.may_answer.clear()
    source.gives("first")
    return source


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - what it waits for is a thread's
            await anyio.sleep(0.001)


def test_a_thread_and_500_tasks_make_one_request_in_one_thread_and_borrow_none_of_the_loops(
    run: Any, held_up: ScriptedSource
) -> None:
    client = TokenClient(source=held_up)
    before = set(threading.enumerate())
    versions: list[str] = []
    caller = threading.Thread(target=lambda: versions.append(client.get().version), name="caller")

    async def get() -> None:
        versions.append((await client.aget()).version)

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            caller.start()
            for _ in range(TASKS):
                tasks.start_soon(get)
            await until(held_up.asked.is_set)
            started = {thread.name for thread in set(threading.enumerate()) - before}
            assert started == {"caller", THREAD_NAME}
            held_up.may_answer.set()

    run(work)
    caller.join(WAIT_SECONDS)

    assert versions == ["first"] * (TASKS + 1)
    assert len(held_up.requests) == 1


def test_a_task_that_is_cancelled_ends_at_once_and_the_request_goes_on(
    run: Any, held_up: ScriptedSource
) -> None:
    client = TokenClient(source=held_up)
    ended: list[bool] = []

    async def get() -> None:
        try:
            await client.aget()
        finally:
            ended.append(held_up.may_answer.is_set())

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get)
            await until(held_up.asked.is_set)
            tasks.cancel_scope.cancel()
        assert ended == [False], "it ended while the vending side was still hanging"
        held_up.may_answer.set()
        assert (await client.aget()).version == "first"

    run(work)

    assert len(held_up.requests) == 1


def test_a_loop_that_ended_meanwhile_is_left_alone(run: Any, held_up: ScriptedSource, caplog: Any) -> None:
    client = TokenClient(source=held_up)

    async def give_up() -> None:
        with pytest.raises(VendingUnavailable):
            await client.aget(wait_seconds=0.01)

    run(give_up)
    held_up.may_answer.set()

    assert client.get().version == "first"
    assert [record for record in caplog.records if record.name.startswith("concurrent")] == []


def test_waiting_reporting_and_an_error_for_good_are_as_in_threads(run: Any) -> None:
    source = FakeTokenSource()
    source.fail_with(VendingUnavailable("throttled", retry_after=0.001))
    client = TokenClient(source=source)

    async def work() -> None:
        await client.areject((await client.aget()).version)
        assert await client.aauth_header() == {"Authorization": "Bearer token-2"}
        source.fail_with(CallerNotAllowed("no"))
        with pytest.raises(CallerNotAllowed):
            await client.areject("version-2")

    run(work)

    assert len(source.requests) == 4
