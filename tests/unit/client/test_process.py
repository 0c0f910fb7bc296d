"""What a client is to the process around it: imports, environment, forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import token_client
from token_client import ConfigurationError, TokenClient
from token_client._cache import TokenCache
from token_client.testing import FakeTokenSource

from .fakes import WAIT_SECONDS, ScriptedSource, timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .fakes import Clock

PACKAGE = Path(token_client.__file__).parent


def loaded_after(code: str) -> set[str]:
    """Top-level modules that are there after running `code` in a new interpreter."""
    program = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(shown.stdout.split())


def test_importing_it_and_making_one_imports_no_library() -> None:
    loaded = loaded_after("import token_client\ntoken_client.TokenClient('f')")

    assert "token_client" in loaded
    assert not loaded & {"boto3", "botocore", "urllib3", "requests", "httpx", "pytest", "token_vending"}


def test_the_pool_needs_urllib3_and_no_more() -> None:
    assert not loaded_after("import token_client\ntoken_client.TokenClient('f').http") & {
        "boto3",
        "botocore",
        "requests",
        "httpx",
    }


def test_no_module_of_it_imports_the_vending_package() -> None:
    for module in PACKAGE.glob("*.py"):
        assert "token_vending" not in module.read_text()


def test_the_environment_says_where_tokens_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONR_TOKEN_FUNCTION", "a-function")
    monkeypatch.setenv("PERSONR_TOKEN_URL", "https://a-url")
    assert repr(TokenClient()) == "TokenClient('a-function')"

    monkeypatch.delenv("PERSONR_TOKEN_FUNCTION")
    assert repr(TokenClient()) == "TokenClient('https://a-url')"


def test_an_argument_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONR_TOKEN_FUNCTION", "a-function")

    assert repr(TokenClient(url="https://another-url")) == "TokenClient('https://another-url')"


def test_nowhere_to_get_tokens_from_is_said_when_one_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONR_TOKEN_FUNCTION", "")
    monkeypatch.delenv("PERSONR_TOKEN_URL", raising=False)
    client = TokenClient()
    assert repr(client) == "TokenClient(None)"

    with pytest.raises(ConfigurationError, match="PERSONR_TOKEN_FUNCTION"):
        client.get()


@pytest.mark.parametrize("make", [lambda: TokenClient(""), lambda: TokenClient(url="")])
def test_an_empty_argument_is_said_at_once(
    make: Callable[[], TokenClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONR_TOKEN_FUNCTION", "a-function")

    with pytest.raises(ConfigurationError, match="empty"):
        make()


def test_two_places_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError, match="only one"):
        TokenClient("f", url="https://u")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_in_the_middle_of_a_request_asks_for_itself(clock: Clock) -> None:
    source = ScriptedSource(clock)
    source.gives("parents")
    source.gives("childs")
    client = timed(clock, source)
    source.may_answer.clear()
    waiting = threading.Thread(target=client.get)
    waiting.start()
    assert source.asked.wait(WAIT_SECONDS)

    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        source.may_answer = threading.Event()
        source.may_answer.set()
        os._exit(42 if client.get(wait_seconds=0).version == "childs" else 1)

    source.may_answer.set()
    waiting.join(WAIT_SECONDS)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert client.get().version == "parents"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_keeps_the_token_its_parent_held(clock: Clock) -> None:
    source = ScriptedSource(clock)
    source.gives("first")
    client = timed(clock, source)
    client.get()

    child = os.fork()
    if child == 0:
        os._exit(42 if client.get().version == "first" and len(source.requests) == 1 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_after_a_freeze_beyond_the_time_a_token_may_be_kept_it_asks_before_serving(clock: Clock) -> None:
    source = FakeTokenSource(clock=clock, cache_seconds=300)
    client = timed(clock, source)
    client.get()
    source.replace()  # the schedule minted while this environment was frozen
    clock.now += 7200

    assert client.get().version == source.version


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_makes_a_source_of_its_own(clock: Clock) -> None:
    made = []

    def make_source() -> FakeTokenSource:
        made.append(FakeTokenSource(clock=clock, cache_seconds=0))
        return made[-1]

    cache = TokenCache(make_source, min_seconds=None, stale_wait_seconds=WAIT_SECONDS, time=clock)
    cache.get(wait_seconds=0)

    child = os.fork()
    if child == 0:
        cache.get(wait_seconds=0)
        os._exit(42 if len(made) == 2 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    cache.get(wait_seconds=0)
    assert len(made) == 1
