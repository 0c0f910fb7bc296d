"""What is offered to the tests of callers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import token_client
from token_client import TokenClient, TokenUnavailable
from token_client._flights import replaced_source
from token_client.testing import FakeTokenSource, timed_client

pytest_plugins = ["token_client.pytest_plugin"]
made_at_import = TokenClient("nobody-calls-this")


def test_the_fixture_serves_every_client_of_the_process(personr_tokens: FakeTokenSource) -> None:
    assert made_at_import.auth_header() == {"Authorization": f"Bearer {personr_tokens.access_token}"}


def test_a_clock_of_the_callers_ages_the_token() -> None:
    now = [1_800_000_000.0]
    source = FakeTokenSource(lifetime_seconds=3600, clock=lambda: now[0])
    client = timed_client(source, lambda: now[0])
    client.get()
    now[0] += 3601

    assert client.get().version == "version-2"


USERS_PROJECT = {
    "app.py": """
from token_client import TokenClient

personr = TokenClient()


def handler(event, context):
    return personr.get().version
""",
    "conftest.py": 'pytest_plugins = ["token_client.pytest_plugin"]\n',
    "test_app.py": """
from app import handler


def test_the_handler(personr_tokens):
    assert handler({}, None) == "version-1"
    personr_tokens.replace()


def test_nothing_of_one_test_is_left_for_the_next(personr_tokens):
    assert handler({}, None) == "version-1"
    assert len(personr_tokens.requests) == 1
""",
}


def test_a_users_project_whose_client_is_made_when_pytest_collects(tmp_path: Path) -> None:
    for name, text in USERS_PROJECT.items():
        (tmp_path / name).write_text(text)
    environment = {"PYTHONPATH": str(Path(token_client.__file__).parents[1]), "HOME": str(tmp_path)}

    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout
    assert "2 passed" in finished.stdout


def test_what_a_client_held_or_suffered_before_the_fixture_does_not_reach_into_it() -> None:
    own = FakeTokenSource()
    holding, suffering = TokenClient(source=own), TokenClient(source=own)
    own.replace()
    assert holding.get().version == "version-2"
    own.fail_with(TokenUnavailable("minting", retry_after=900))
    with pytest.raises(TokenUnavailable):
        suffering.get()

    with replaced_source(FakeTokenSource()):
        assert holding.get().version == "version-1"
        assert suffering.get().version == "version-1"

    assert holding.get().version == "version-2"
