"""A pytest fixture for the tests of a caller: ``pytest_plugins = ["token_client.pytest_plugin"]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from . import _flights
from .testing import FakeTokenSource

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def personr_tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTokenSource]:
    """A fake vending function that every ``TokenClient`` uses while the test runs, made before it or in it.

    Neither AWS nor the environment variables are needed: ``TOKEN_FUNCTION`` is set to a name of nothing.
    """
    source = FakeTokenSource()
    monkeypatch.setenv("TOKEN_FUNCTION", "fake-vending-function")
    with _flights.replaced_source(source):
        yield source
