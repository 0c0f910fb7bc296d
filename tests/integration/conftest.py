"""A world of its own for each test, and a check of every one for leaks when the test is over."""

from collections.abc import Iterator

import pytest

from tests.integration.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made
        assert_no_leak(made)


def assert_no_leak(world: World) -> None:
    """No line that either function wrote holds a token, the password or the Basic value."""
    logs = world.logs
    for number, secret in enumerate(world.secret_texts()):
        # Not `assert secret not in logs`: the failure would print both.
        assert logs.count(secret) == 0, f"secret number {number} is in the logs"
