"""A source that does exactly what a test says and can be held in the middle of a request, and time that only waiting
moves on.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, override

from token_client import TokenClient
from token_client._flights import THREAD_NAME
from token_client._process import Time
from token_client._token import Token
from token_client._wire import Answer, TokenRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

NOON = 1_800_000_000.0
WAIT_SECONDS = 10  # for other threads; a test that waits this long has failed


class Clock(Time):
    """Both clocks; sleeping moves them on, and so does waiting for a source that hangs."""

    def __init__(self) -> None:
        self.now = NOON
        self.slept: list[float] = []
        self.waited_in_vain: list[float] = []
        self.would_wait: list[float] = []
        self.hangs = False
        self.while_sleeping: Callable[[], object] | None = None
        self.while_waiting: Callable[[], object] = bool

    def __call__(self) -> float:
        return self.now

    @override
    def wall(self) -> float:
        return self.now

    @override
    def monotonic(self) -> float:
        return self.now

    @override
    def chance(self) -> float:
        return 0.5

    @override
    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if self.while_sleeping is not None:
            self.while_sleeping()

    @override
    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)

    @override
    def wait(self, future: Future[Any], seconds: float) -> None:
        self.would_wait.append(seconds)
        self.while_waiting()
        if not self._hung(seconds):
            super().wait(future, WAIT_SECONDS)

    @override
    async def await_done(self, future: Future[Any], seconds: float) -> None:
        await super().await_done(future, 0.01 if self._hung(seconds) else WAIT_SECONDS)

    def _hung(self, seconds: float) -> bool:
        if self.hangs:
            self.waited_in_vain.append(seconds)
            self.now += seconds
        return self.hangs


def timed(clock: Time, source: Any, **options: Any) -> TokenClient:
    """A client that goes by this clock."""
    client: TokenClient = type("Timed", (TokenClient,), {"_time": clock})(source=source, **options)
    return client


def let_requests_end() -> None:
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(WAIT_SECONDS)


class ScriptedSource:
    """Answers with what was put in, in order; asked for more, the test fails."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._script: deque[tuple[str, float, float] | BaseException] = deque()
        self.requests: list[TokenRequest] = []
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def gives(self, version: str, *, expires_in: float = 86_400, cache_seconds: float = 300) -> None:
        self._script.append((version, expires_in, cache_seconds))

    def fails(self, *errors: BaseException) -> None:
        self._script.extend(errors)

    def fetch(self, request: TokenRequest) -> Answer:
        self.requests.append(request)
        step = self._script.popleft() if self._script else AssertionError(f"not expected: {request}")
        self.asked.set()
        assert self.may_answer.wait(WAIT_SECONDS)
        if isinstance(step, BaseException):
            raise step
        version, expires_in, cache_seconds = step
        return Answer(
            token=Token(
                f"plaintext-of-{version}",
                version=version,
                expires_at=datetime.fromtimestamp(self._clock() + expires_in, tz=UTC),
            ),
            expires_in=expires_in,
            cache_seconds=cache_seconds,
        )
