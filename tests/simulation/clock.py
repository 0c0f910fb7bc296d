"""Time that passes only when somebody says so."""

import contextlib
import heapq
import itertools
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class SimulatedClock:
    """A `ports.Clock`. Whatever was arranged with `at` happens while time passes over its moment."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._arranged: list[tuple[datetime, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def __call__(self) -> datetime:
        return self._now

    def at(self, moment: datetime, happens: Callable[[], object]) -> None:
        """Arrange something for later."""
        heapq.heappush(self._arranged, (moment, next(self._order), happens))

    def advance(self, duration: timedelta) -> None:
        """Let time pass."""
        until = self._now + duration
        while self._arranged and self._arranged[0][0] <= until:
            moment, _, happens = heapq.heappop(self._arranged)
            self._now = max(self._now, moment)
            happens()
        self._now = until

    def sleep(self, seconds: float) -> None:
        """In place of `time.sleep`."""
        self.advance(timedelta(seconds=seconds))


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """Coverage does not count here: days that execute the same lines a hundred thousand times, in a third of the
    time.
    """
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)
