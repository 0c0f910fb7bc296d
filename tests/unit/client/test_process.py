"""What a client is to the process around it: imports, environment, forks."""

from __future__ import annotations

import inspect
import os
import pickle
import re
import subprocess
import sys
import threading
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, override

import httpx
import pytest
import urllib3
from botocore.session import Session

import token_client
from token_client import ConfigurationError, Token, TokenClient, _aws
from token_client._freshness import Held
from token_client._process import USER_AGENT, VERSION
from token_client.testing import FakeTokenSource

from .fakes import WAIT_SECONDS, ScriptedSource, timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .fakes import Clock

TOKEN = Token("plaintext", version="v", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
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


def test_the_environment_says_where_tokens_come_from_and_a_function_goes_before_a_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("TOKEN_FUNCTION", "PERSONR_TOKEN_FUNCTION", "TOKEN_URL", "PERSONR_TOKEN_URL")
    for name in names:
        monkeypatch.setenv(name, f"https://{name}")
    for name in names:
        assert repr(TokenClient()) == f"TokenClient('https://{name}')"
        monkeypatch.delenv(name)


def test_an_argument_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONR_TOKEN_FUNCTION", "a-function")

    assert repr(TokenClient(url="https://another-url")) == "TokenClient('https://another-url')"


def test_nowhere_to_get_tokens_from_is_said_when_one_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN_FUNCTION", "PERSONR_TOKEN_FUNCTION", "TOKEN_URL", "PERSONR_TOKEN_URL"):
        monkeypatch.setenv(name, "")
    client = TokenClient()
    assert repr(client) == "TokenClient(None)"

    with pytest.raises(ConfigurationError, match="TOKEN_FUNCTION or PERSONR_TOKEN_FUNCTION"):
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

    class Own(TokenClient):
        _time = clock

        @override
        def _make_source(self) -> FakeTokenSource:
            made.append(FakeTokenSource(clock=clock, cache_seconds=0))
            return made[-1]

    client = Own("a-function", stale_wait_seconds=WAIT_SECONDS)
    client.get(wait_seconds=0)

    child = os.fork()
    if child == 0:
        client.get(wait_seconds=0)
        os._exit(42 if len(made) == 2 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    client.get(wait_seconds=0)
    assert len(made) == 1


def test_a_client_is_pickled_as_its_configuration() -> None:
    client = TokenClient("a-function", wait_seconds=7, min_seconds=60)
    client._cache.holding._held = Held(TOKEN, 0, 0, 0, 0)

    pickled = pickle.dumps((client, client.requests_auth(), client.httpx_auth()))
    again, *auths = pickle.loads(pickled)  # noqa: S301 - our own

    assert pickled.count(b"plaintext") == 0
    assert repr(again) == "TokenClient('a-function')"
    assert again._configuration == client._configuration
    assert [type(auth).__name__ for auth in auths] == ["RequestsAuth", "HttpxAuth"]


def test_a_client_with_objects_of_the_callers_says_that_it_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="source and http_pool of your own is not pickled"):
        pickle.dumps(TokenClient(source=FakeTokenSource(), http_pool=urllib3.PoolManager()))


class Closing(FakeTokenSource):
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_closing_a_client_closes_what_is_its_own_and_a_later_request_opens_it_anew(clock: Clock) -> None:
    made: list[Closing] = []

    class Own(TokenClient):
        _time = clock

        @override
        def _make_source(self) -> Closing:
            made.append(Closing(clock=clock, cache_seconds=0))
            return made[-1]

    with Own("a-function") as client:
        client.get()
    assert [source.closed for source in made] == [1]
    client.close()  # nothing is open: nothing happens
    client.get()

    assert [source.closed for source in made] == [1, 0]


def test_closing_a_client_leaves_the_source_that_was_given_alone() -> None:
    given = Closing()
    with TokenClient(source=given) as client:
        client.get()

    assert given.closed == 0


@pytest.mark.parametrize("name", token_client.__all__)
def test_the_types_of_what_is_public_can_be_asked_for(name: str) -> None:
    public = getattr(token_client, name)
    if isinstance(public, type):
        for method in [public, *(value for value in vars(public).values() if inspect.isfunction(value))]:
            typing.get_type_hints(method)
    hints = typing.get_type_hints(TokenClient.httpx_auth)
    assert hints["return"] is httpx.Auth


def test_clients_of_one_process_share_one_botocore_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    _aws.shared.start_over()
    made: list[Session] = []

    def make() -> Session:
        made.append(Session())
        return made[-1]

    monkeypatch.setattr("botocore.session.get_session", make)

    for number in range(5):
        TokenClient(f"function-{number}")._make_source()
        TokenClient(url=f"https://{number}.example")._make_source()

    _aws.shared.start_over()
    assert len(made) == 1


PYTHONS = sorted((Path.home() / ".pyenv" / "versions").glob("3.1[1-4].*/bin/python"))
PROGRAM = """
import asyncio, importlib, sys
from token_client import TokenClient
from token_client.testing import FakeTokenSource
client = TokenClient(source=FakeTokenSource())
assert client.get().version == asyncio.run(client.aget()).version == "version-1"
client.reject("version-1")
assert client.auth_header() == {"Authorization": "Bearer token-2"}
for name in ("_direct", "_http_door", "_pool", "_requests_auth"):
    importlib.import_module("token_client." + name)
print("%d.%d" % sys.version_info[:2])
"""


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_the_package_works_under_each_python_that_is_here(version: str) -> None:
    found = [python for python in PYTHONS if python.parts[-3].startswith(f"{version}.")]
    if not found:
        pytest.skip(f"Python {version} is not on this machine")
    site_packages = Path(urllib3.__file__).parents[1]  # botocore, urllib3 and requests are pure Python

    finished = subprocess.run(
        [found[-1], "-B", "-W", "error::DeprecationWarning:token_client", "-c", PROGRAM],
        env={"PYTHONPATH": f"{PACKAGE.parent}:{site_packages}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.stdout == f"{version}\n", finished.stderr


def test_the_version_is_said_once_to_users_and_once_to_servers() -> None:
    assert token_client.__version__ == VERSION
    assert f"/{VERSION} " in USER_AGENT


def test_the_layer_declares_the_pythons_that_the_package_does() -> None:
    root = PACKAGE.parents[2]
    declared = re.search(
        r"ContentUri: layers/token_client\n\s+CompatibleRuntimes: \[(.*)\]",
        (root / "template.yaml").read_text(),
    )
    assert declared is not None

    assert declared[1].split(", ") == ["python3.11", "python3.12", "python3.13", "python3.14"]
    assert 'requires-python = ">=3.11"' in (PACKAGE.parent / "pyproject.toml").read_text()
