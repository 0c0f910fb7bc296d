from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from token_client import TokenClient, _aws
from token_client.testing import FakeTokenSource

from .vendor import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.world import Stage


@pytest.fixture(autouse=True)
def _identity_of_its_own() -> None:
    """Each test has an environment, and so AWS credentials, of its own; a process has one session."""
    _aws.shared.start_over()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is, a single attempt ends by itself; tests/unit/client is about those that do not."""
    monkeypatch.setitem(TokenClient.__init__.__kwdefaults__ or {}, "stale_wait_seconds", 60.0)


@pytest.fixture
def source() -> FakeTokenSource:
    return FakeTokenSource()


@pytest.fixture
def client(source: FakeTokenSource) -> TokenClient:
    return TokenClient(source=source)


@pytest.fixture
def vendor(source: FakeTokenSource) -> Iterator[Vendor]:
    with Vendor(source) as server:
        yield server


@pytest.fixture
def elsewhere(source: FakeTokenSource) -> Iterator[Vendor]:
    """Another host (another port is one), to which redirects lead."""
    with Vendor(source) as server:
        yield server


@pytest.fixture
def world() -> Iterator[Stage]:
    """One of its own for each test, which counts from nought."""
    from tests.integration.world import Stage as World  # noqa: PLC0415 - only the product's own Python has all it needs

    with World() as made:
        yield made
