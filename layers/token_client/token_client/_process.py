"""What surrounds a client: clocks and waiting, forked children, connections that died meanwhile, modules that are
imported only when they are needed.
"""

import contextlib
import importlib
import os
import random
import sys
import time
import weakref
from collections.abc import Generator
from concurrent.futures import Future, wait
from typing import Any, Protocol, TypeVar

VERSION = "1.1.0"  # as in __init__.py

# What the logs of the vending side and of the API show of a caller.
USER_AGENT = f"token-client/{VERSION} Python/{sys.version_info.major}.{sys.version_info.minor}"

# A connection unused for this long is opened anew before use: the environment may have been frozen or restored from
# a snapshot meanwhile, and a dead connection shows itself only by a timeout. Below every idle timeout on the way.
IDLE_SECONDS = 50.0

T = TypeVar("T")

# What waits for nothing itself: it yields a future, or None for a pause, with the seconds to wait for it at most.
Steps = Generator[tuple["Future[Any] | None", float], None, T]


class Time:
    """The clocks, chance, and every way to wait. Tests have their own.

    Age is judged by the wall clock: a monotonic one may stand still while a Lambda environment is frozen or a
    snapshot lies in storage, and a token ages all the same. Waiting is measured by the monotonic one, which nobody
    sets back.
    """

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some instant."""
        return time.monotonic()

    def chance(self) -> float:
        """A random number, 0 ≤ n < 1."""
        return random.random()  # noqa: S311 - spreads load, guards nothing

    def run(self, steps: Steps[T]) -> T:
        """What the steps return; this thread waits."""
        try:
            while True:
                future, seconds = next(steps)
                if future is None:
                    self.sleep(seconds)
                else:
                    self.wait(future, seconds)
        except StopIteration as end:
            returned: T = end.value
            return returned

    async def arun(self, steps: Steps[T]) -> T:
        """The same in asyncio or trio. No thread waits, and cancellation is immediate."""
        try:
            while True:
                future, seconds = next(steps)
                if future is None:
                    await self.asleep(seconds)
                else:
                    await self.await_done(future, seconds)
        except StopIteration as end:
            returned: T = end.value
            return returned

    def sleep(self, seconds: float) -> None:
        """Wait so long."""
        time.sleep(seconds)

    def wait(self, future: Future[Any], seconds: float) -> None:
        """Until the future is done, or so long."""
        wait([future], seconds)

    async def asleep(self, seconds: float) -> None:
        """Sleep, in asyncio or trio."""
        await (_asyncio() or importlib.import_module("trio")).sleep(seconds)

    async def await_done(self, future: Future[Any], seconds: float) -> None:
        """Until the future is done, or so long, in asyncio or trio."""
        asyncio = _asyncio()
        trio: Any = None if asyncio else importlib.import_module("trio")
        done = (asyncio or trio).Event()
        schedule = (
            asyncio.get_running_loop().call_soon_threadsafe
            if asyncio
            else trio.lowlevel.current_trio_token().run_sync_soon
        )

        def wake(_future: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits there any more
                schedule(done.set)

        future.add_done_callback(wake)
        if asyncio:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await done.wait()
        else:
            with trio.move_on_after(seconds):
                await done.wait()


def _asyncio() -> Any:  # noqa: ANN401 - a module, imported only where it runs already
    """The module asyncio, if one of its tasks is what runs here."""
    asyncio = sys.modules.get("asyncio")
    with contextlib.suppress(RuntimeError):
        if asyncio is not None and asyncio.current_task() is not None:
            return asyncio
    return None


def is_idle(used_at: float, now: float) -> bool:
    """Whether a connection used last at ``used_at`` is not to be trusted; a clock set back counts as long."""
    return not 0 <= now - used_at < IDLE_SECONDS


class Lazy:
    """A module that is imported when something of it is first asked for, as ``typing.get_type_hints`` does."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - whatever the module has
        return getattr(importlib.import_module(self._name), attribute)


class StartsOver(Protocol):
    """Something that has locks or connections, which a forked child must not share with its parent."""

    def start_over(self) -> None:
        """Replace them. Called in the child, where no other thread is; must not wait for a lock."""


# All that there are; each adds itself.
starting_over: weakref.WeakSet[StartsOver] = weakref.WeakSet()


def _after_fork() -> None:  # pragma: no cover - a forked child saves no counts; tests see what it does
    for thing in starting_over:
        thing.start_over()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
