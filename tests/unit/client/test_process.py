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
from unittest.mock import Mock

import httpx
import pytest
import urllib3
from botocore.session import Session

import token_client
from token_client import ConfigurationError, Token, TokenClient, _aws
from token_client._freshness import Held
from token_client.testing import FakeTokenSource

from .fakes import WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .fakes import ScriptedSource

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


@pytest.mark.parametrize(("use", "needed"), [("", set()), (".http", {"urllib3"})])
def test_importing_it_and_making_one_imports_no_library_and_its_pool_urllib3_alone(
    use: str, needed: set[str]
) -> None:
    loaded = loaded_after(f"import token_client\ntoken_client.TokenClient('f'){use}")

    assert "token_client" in loaded
    assert loaded & {"boto3", "botocore", "urllib3", "requests", "httpx", "pytest", "token_vending"} == needed


NAMES = ("TOKEN_FUNCTION", "PERSONR_TOKEN_FUNCTION", "TOKEN_URL", "PERSONR_TOKEN_URL")


def test_tokens_come_from_an_argument_or_the_environment_and_there_a_function_goes_before_a_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, f"https://{name}")
    assert repr(TokenClient(url="https://another-url")) == "TokenClient('https://another-url')"
    for name in NAMES:
        assert repr(TokenClient()) == f"TokenClient('https://{name}')"
        monkeypatch.setenv(name, "")
    client = TokenClient()
    assert repr(client) == "TokenClient(None)"

    with pytest.raises(ConfigurationError, match="TOKEN_FUNCTION or PERSONR_TOKEN_FUNCTION"):
        client.get()


@pytest.mark.parametrize(
    ("function", "url", "words"), [("", None, "empty"), (None, "", "empty"), ("f", "https://u", "only one")]
)
def test_a_wrong_argument_is_said_at_once(
    function: str | None, url: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERSONR_TOKEN_FUNCTION", "a-function")

    with pytest.raises(ConfigurationError, match=words):
        TokenClient(function, url=url)


class Closing(FakeTokenSource):
    closed = 0

    def close(self) -> None:
        self.closed += 1


class Own(TokenClient):
    """It makes sources whose tokens are stale at once."""

    def __init__(self) -> None:
        super().__init__("a-function", stale_wait_seconds=WAIT_SECONDS)
        self.made: list[Closing] = []

    @override
    def _make_source(self) -> Closing:
        self.made.append(Closing(cache_seconds=0))
        return self.made[-1]


def holds_in_a_child(condition: Callable[[], bool]) -> bool:
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        try:
            os._exit(42 if condition() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_a_child_forked_in_the_middle_of_a_request_asks_for_itself(
    source: ScriptedSource, client: TokenClient
) -> None:
    source.gives("parents")
    source.gives("childs")
    source.may_answer.clear()
    waiting = threading.Thread(target=client.get)
    waiting.start()
    assert source.asked.wait(WAIT_SECONDS)

    def asks() -> bool:
        source.may_answer = threading.Event()
        source.may_answer.set()
        return client.get(wait_seconds=0).version == "childs"

    assert holds_in_a_child(asks)
    source.may_answer.set()
    waiting.join(WAIT_SECONDS)
    assert client.get().version == "parents"
    assert holds_in_a_child(lambda: client.get().version == "parents"), "what is held is kept"


def test_a_child_makes_a_source_of_its_own() -> None:
    client = Own()
    client.get(wait_seconds=0)

    assert holds_in_a_child(lambda: bool(client.get(wait_seconds=0)) and len(client.made) == 2)
    client.get(wait_seconds=0)
    assert len(client.made) == 1


def test_a_client_is_pickled_as_its_configuration_and_not_at_all_with_objects_of_the_callers() -> None:
    client = TokenClient("a-function", wait_seconds=7, min_seconds=60)
    client._cache.holding._held = Held(TOKEN, 0, 0, 0, 0)

    pickled = pickle.dumps((client, client.requests_auth(), client.httpx_auth()))
    again, *auths = pickle.loads(pickled)  # noqa: S301 - our own

    assert pickled.count(b"plaintext") == 0
    assert repr(again) == "TokenClient('a-function')"
    assert again._configuration == client._configuration
    assert [type(auth).__name__ for auth in auths] == ["RequestsAuth", "HttpxAuth"]
    with pytest.raises(TypeError, match="source and http_pool of your own is not pickled"):
        pickle.dumps(TokenClient(source=FakeTokenSource(), http_pool=urllib3.PoolManager()))


def test_closing_a_client_closes_what_is_its_own_and_a_later_request_opens_it_anew() -> None:
    with Own() as client:
        client.get()
    assert [source.closed for source in client.made] == [1]
    client.close()  # nothing is open: nothing happens
    client.get()
    assert [source.closed for source in client.made] == [1, 0]

    given = Closing()
    with TokenClient(source=given) as client_of_another:
        client_of_another.get()
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
    make = Mock(side_effect=Session)
    monkeypatch.setattr("botocore.session.get_session", make)

    for number in range(5):
        TokenClient(f"function-{number}")._make_source()
        TokenClient(url=f"https://{number}.example")._make_source()

    _aws.shared.start_over()
    make.assert_called_once()


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


def test_the_layer_declares_the_pythons_that_the_package_does() -> None:
    root = PACKAGE.parents[2]
    declared = re.search(
        r"ContentUri: layers/token_client\n\s+CompatibleRuntimes: \[(.*)\]",
        (root / "template.yaml").read_text(),
    )
    assert declared is not None

    assert declared[1].split(", ") == ["python3.11", "python3.12", "python3.13", "python3.14"]
    assert 'requires-python = ">=3.11"' in (PACKAGE.parent / "pyproject.toml").read_text()
