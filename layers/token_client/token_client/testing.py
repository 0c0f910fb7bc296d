"""What the tests of a caller need: a vending function that is not there.

``TokenClient(source=FakeTokenSource())`` needs neither AWS nor the environment; docs/callers.md has an example.
With pytest, ``pytest_plugins = ["token_client.pytest_plugin"]`` in the root ``conftest.py`` gives the fixture
``personr_tokens``: a ``FakeTokenSource`` that every ``TokenClient`` uses while the test runs.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ._client import TokenClient
from ._errors import TokenClientError
from ._process import Time
from ._token import Token
from ._wire import Answer, TokenRequest, TokenSource

__all__ = ["Answer", "FakeTokenSource", "TokenRequest", "timed_client"]


def timed_client(source: TokenSource | None, clock: Callable[[], float], **options: Any) -> TokenClient:  # noqa: ANN401 - as TokenClient's
    """A client that goes by a clock of yours (seconds since the epoch); what it waits for is up to the real one."""

    class Timed(Time):
        def wall(self) -> float:
            return clock()

    client: TokenClient = type("TimedClient", (TokenClient,), {"_time": Timed()})(source=source, **options)
    return client


class FakeTokenSource:
    """A vending function in memory: tokens ``token-1``, ``token-2``, … of versions ``version-1``, ``version-2``, …

    As the real one it hands out the current token, and a rejection of the current version mints the next. Safe for
    threads. ``requests`` is everything that was asked, in order; for a ``clock`` of your own see :func:`timed_client`.
    """

    def __init__(
        self,
        *,
        lifetime_seconds: float = 31_536_000,
        cache_seconds: float = 300,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.requests: list[TokenRequest] = []
        self._lifetime_seconds = lifetime_seconds
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: deque[TokenClientError] = deque()
        self._number = 0
        self._dead = False
        self._mint()

    @property
    def version(self) -> str:
        """The current version."""
        return f"version-{self._number}"

    @property
    def access_token(self) -> str:
        """The current token's plaintext."""
        return f"token-{self._number}"

    def fail_with(self, *errors: TokenClientError) -> None:
        """Let the next requests fail, one with each of these."""
        with self._lock:
            self._failures.extend(errors)

    def kill(self) -> None:
        """Let the API refuse the current token; it stays the one handed out until somebody reports it."""
        with self._lock:
            self._dead = True

    def replace(self) -> None:
        """Mint a new token, as the schedule does: the old one is dead from here on."""
        with self._lock:
            self._mint()

    def accepts(self, authorization: str | None) -> bool:
        """Whether the API would accept this ``Authorization`` header: for a fake API of your own."""
        with self._lock:
            return not self._dead and authorization == f"Bearer {self.access_token}"

    def fetch(self, request: TokenRequest) -> Answer:
        """What the client calls."""
        with self._lock:
            self.requests.append(request)
            if self._failures:
                raise self._failures.popleft()
            now = self._clock()
            if request.rejected_version == self.version or now >= self._expires_at:
                self._mint()
            expires_at = datetime.fromtimestamp(self._expires_at, tz=UTC)
            token = Token(self.access_token, version=self.version, expires_at=expires_at)
            return Answer(token, expires_in=self._expires_at - now, cache_seconds=self._cache_seconds)

    def _mint(self) -> None:
        self._number += 1
        self._dead = False
        self._expires_at = self._clock() + self._lifetime_seconds
