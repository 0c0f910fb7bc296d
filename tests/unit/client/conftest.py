from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = 1_800_000_000.0


class Clock:
    """Seconds since the epoch; sleeping moves it on."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now
        self.slept: list[float] = []
        self.while_sleeping: Callable[[], None] | None = None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if self.while_sleeping is not None:
            self.while_sleeping()


@pytest.fixture
def clock() -> Clock:
    return Clock()
