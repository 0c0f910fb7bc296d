from __future__ import annotations

import pytest

from .fakes import Clock, ScriptedSource


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> ScriptedSource:
    return ScriptedSource(clock)
