"""A world of its own for each test. It checks itself for leaks when the test is over."""

from collections.abc import Iterator

import pytest

from tests.integration.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made
