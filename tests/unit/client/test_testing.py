"""What is offered to the tests of callers."""

from __future__ import annotations

import pytest

from token_client import TokenClient, TokenUnavailable
from token_client._flights import replaced_source
from token_client.testing import FakeTokenSource, timed_client

pytest_plugins = ["token_client.pytest_plugin"]
made_at_import = TokenClient()


@pytest.mark.parametrize("test", ["first", "next, for which nothing is left of the first"])
def test_the_fixture_serves_every_client_of_the_process(personr_tokens: FakeTokenSource, test: str) -> None:
    header = made_at_import.auth_header()["Authorization"]
    assert header == f"Bearer {personr_tokens.access_token}", test
    assert made_at_import.get().version == TokenClient().get().version == "version-1"
    assert len(personr_tokens.requests) == 2
    personr_tokens.replace()


def test_a_clock_of_the_callers_ages_the_token() -> None:
    now = [1_800_000_000.0]
    source = FakeTokenSource(lifetime_seconds=3600, clock=lambda: now[0])
    client = timed_client(source, lambda: now[0])
    client.get()
    now[0] += 3601

    assert client.get().version == "version-2"


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
