"""How long one request may wait for tokens: for the first one and for its successor together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant, in seconds since the epoch, after which nothing is waited for any more."""

    at: float
    clock: Callable[[], float]

    @classmethod
    def after(cls, wait_seconds: float, clock: Callable[[], float]) -> Self:
        """The instant ``wait_seconds`` from now."""
        return cls(clock() + wait_seconds, clock)

    def seconds_left(self) -> float:
        """Until then; 0 when it has passed."""
        return max(0.0, self.at - self.clock())
