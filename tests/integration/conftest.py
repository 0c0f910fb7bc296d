"""A world of its own for each test. It checks itself for leaks when the test is over."""

from collections.abc import Iterator

import pytest

from tests.integration.world import Stage


@pytest.fixture
def world() -> Iterator[Stage]:
    with Stage() as made:
        yield made
