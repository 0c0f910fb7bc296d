"""The same client in asyncio and in trio: one request, no thread that waits, cancellation at once."""

from __future__ import annotations

import asyncio
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

    from .fakes import Clock

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


def test_500_tasks_make_one_request_in_one_thread_and_borrow_none_of_the_loops(
    run: Any, held_up: ScriptedSource
) -> None:
    client = TokenClient(source=held_up)
    before = set(threading.enumerate())
    versions: list[str] = []

    async def get() -> None:
        versions.append((await client.aget()).version)

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(TASKS):
                tasks.start_soon(get)
            await until(held_up.asked.is_set)
            started = [thread.name for thread in set(threading.enumerate()) - before]
            assert started == [THREAD_NAME]
            held_up.may_answer.set()

    run(work)

    assert versions == ["first"] * TASKS
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


def test_threads_and_tasks_share_one_request(held_up: ScriptedSource) -> None:
    client = TokenClient(source=held_up)

    async def work() -> None:
        thread = asyncio.create_task(asyncio.to_thread(client.get))
        task = asyncio.create_task(client.aget())
        await until(held_up.asked.is_set)
        held_up.may_answer.set()
        assert await thread == await task

    asyncio.run(work())

    assert len(held_up.requests) == 1


def test_a_rejection_is_reported_and_the_next_header_is_its_successors(run: Any) -> None:
    source = FakeTokenSource()
    client = TokenClient(source=source)

    async def work() -> dict[str, str]:
        token = await client.aget()
        source.kill()
        await client.areject(token.version)
        return await client.aauth_header()

    assert run(work) == {"Authorization": "Bearer token-2"}


def test_a_report_that_will_never_get_through_raises(run: Any) -> None:
    source = FakeTokenSource()
    client = TokenClient(source=source)
    client.get()
    source.fail_with(CallerNotAllowed("no"))

    async def work() -> None:
        with pytest.raises(CallerNotAllowed):
            await client.areject("version-1")

    run(work)


def test_waiting_for_a_token_that_is_being_made_sleeps_in_the_loop(run: Any, clock: Clock) -> None:
    source = FakeTokenSource()
    source.fail_with(VendingUnavailable("throttled", retry_after=0.001))
    client = TokenClient(source=source)

    async def work() -> str:
        return (await client.aget()).version

    assert run(work) == "version-1"
    assert len(source.requests) == 2
