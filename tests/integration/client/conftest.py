from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.loaders
import botocore.session
import pytest

from tests.integration.world import Stage
from tests.kit.personr import WHOAMI_PATH
from tests.kit.runtime import FunctionUrl
from tests.kit.runtime.function_url import CALLER
from token_client import TokenClient, _aws
from token_client.testing import FakeTokenSource

from .surroundings import ELSEWHERE, STRANGER, VEND_ARN, keys
from .vendor import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator

AWS_DESCRIPTIONS = botocore.loaders.create_loader()


@pytest.fixture(autouse=True)
def _identity_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has an environment of its own, with a caller's keys, and one session. What botocore reads from
    its files is the same for all.
    """
    for name, value in keys().items():
        monkeypatch.setenv(name, value)
    for name in ELSEWHERE:
        monkeypatch.delenv(name, raising=False)

    def get_session() -> botocore.session.Session:
        session = botocore.session.Session()
        session.register_component("data_loader", AWS_DESCRIPTIONS)
        return session

    monkeypatch.setattr(botocore.session, "get_session", get_session)
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


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """It checks itself for leaks when the module's tests are over."""
    with Stage() as made:
        yield made


@pytest.fixture
def world(stage: Stage) -> Stage:
    """As new for each test; its vend function can be invoked by name."""
    stage.start_over()
    stage.lambda_service.wire("vend", stage.vend.run)
    return stage


@pytest.fixture
def url(world: Stage) -> Iterator[FunctionUrl]:
    with FunctionUrl(world.vend.run, [CALLER, STRANGER]) as opened:
        yield opened


@pytest.fixture
def environment(world: Stage, url: FunctionUrl) -> dict[str, str]:
    """What a caller's process has, with a token minted: keys, where tokens come from, and the endpoint it calls."""
    world.mint_first()
    return {
        **keys(),
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "PYENV_ROOT": os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")),
        "AWS_ENDPOINT_URL_LAMBDA": world.lambda_service.url,
        "PERSONR_TOKEN_FUNCTION": VEND_ARN,
        "PERSONR_TOKEN_URL": f"{url.url}/",
        "PERSONR_ENDPOINT": f"{world.vendor.url}{WHOAMI_PATH}",
    }


@pytest.fixture
def in_process(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.keys() - {"PATH", "HOME", "PYENV_ROOT"}:
        monkeypatch.setenv(name, environment[name])
