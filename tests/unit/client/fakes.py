"""A source that does exactly what a test says, and can be held in the middle of a request."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from token_client._token import Token
from token_client._wire import Answer, TokenRequest

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_SECONDS = 10  # for other threads; a test that waits this long has failed


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

    def fails(self, error: BaseException) -> None:
        self._script.append(error)

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
