from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .fakes import Clock, ScriptedSource, timed

if TYPE_CHECKING:
    from token_client import TokenClient


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> ScriptedSource:
    return ScriptedSource(clock)


@pytest.fixture
def client(source: ScriptedSource, clock: Clock) -> TokenClient:
    """It waits for 20 s at most, 2 s of them while a stale token could be served."""
    return timed(clock, source)
