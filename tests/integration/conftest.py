"""A world for each test, made of one for each file. It checks itself for leaks at the end."""

from collections.abc import Iterator

import pytest

from tests.integration.world import Stage


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    """A file may define its own."""
    with Stage() as made:
        yield made


@pytest.fixture
def world(shared: Stage) -> Stage:
    """As new, around the refresh function's warm process."""
    shared.start_over()
    return shared
