"""The whole table: the state of the held token by the outcome of asking for a new one.

Each row says what the caller gets, whether the caller's thread waited for the request, and what is left in the log.
"""

from __future__ import annotations

import itertools
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from token_client import (
    CallerNotAllowed,
    ConfigurationError,
    InvalidRequest,
    TokenClient,
    TokenClientError,
    TokenUnavailable,
    UnexpectedAnswer,
    VendingUnavailable,
)

from .fakes import WAIT_SECONDS, ScriptedSource

if TYPE_CHECKING:
    from .conftest import Clock

LIFE_SECONDS = 3600.0
CACHE_SECONDS = 300.0

STATES = ("absent", "fresh", "aging", "stale", "expired", "rejected", "rejected and expired")
FAILURES: dict[str, TokenClientError] = {
    "unavailable soon": TokenUnavailable("minting", retry_after=5),
    "unavailable, no time given": TokenUnavailable("minting"),
    "unavailable for long": TokenUnavailable("too young to be replaced", retry_after=900),
    "vending fails": VendingUnavailable("Lambda answered 500"),
    "throttled": VendingUnavailable("Lambda answered TooManyRequestsException"),
    "denied": CallerNotAllowed("no"),
    "misconfigured": ConfigurationError("no such function"),
    "not understood": InvalidRequest("min_seconds"),
    "gibberish": UnexpectedAnswer("not a JSON object"),
}
OUTCOMES = ("new token", "same token", *FAILURES)

OLD, NEW = "old", "new"


@dataclass(frozen=True)
class Row:
    """What must hold."""

    returns: str | None = None
    raises: type[TokenClientError] | None = None
    requests: int = 1
    warns: bool = False


# A failure that time may mend is asked for again within the deadline, once here: the second answer is a new token.
HEALED_BY_WAITING = {"unavailable soon", "unavailable, no time given", "vending fails", "throttled"}


def expected(state: str, outcome: str) -> Row:
    """The table, by rule. `test_rows_that_matter_most` below spells rows out by hand."""
    if state == "fresh":
        return Row(returns=OLD, requests=0)
    fails = outcome in FAILURES
    if state == "aging":
        return Row(returns=OLD, warns=fails)
    if state == "stale":
        return Row(returns=OLD if fails or outcome == "same token" else NEW, warns=fails)
    if outcome in HEALED_BY_WAITING:
        return Row(returns=NEW, requests=2)
    if fails:
        return Row(raises=type(FAILURES[outcome]))
    return Row(returns=NEW if outcome == "new token" else OLD)


def client_in(state: str, source: ScriptedSource, clock: Clock) -> TokenClient:
    client = TokenClient(source=source, wait_seconds=20, clock=clock, sleep=clock.sleep, chance=lambda: 0.5)
    if state == "absent":
        return client
    source.gives(OLD, expires_in=LIFE_SECONDS, cache_seconds=CACHE_SECONDS)
    client.get()
    clock.now += {"aging": 0.95 * CACHE_SECONDS, "stale": CACHE_SECONDS, "expired": LIFE_SECONDS}.get(
        state, 1.0
    )
    if state.startswith("rejected"):
        # Told, but in vain, so that the rejection is still to be dealt with.
        source.fails(TokenUnavailable("minting", retry_after=1))
        client.reject(OLD)
        clock.now += LIFE_SECONDS if state == "rejected and expired" else 2.0
    return client


def let_background_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "token-client-renewal":
            thread.join(WAIT_SECONDS)


@pytest.mark.parametrize(("state", "outcome"), list(itertools.product(STATES, OUTCOMES)))
def test_each_state_and_outcome_gives_a_caller_what_the_failure_table_says(
    state: str, outcome: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    source = ScriptedSource(clock)
    client = client_in(state, source, clock)
    asked_before = len(source.requests)
    if outcome == "new token":
        source.gives(NEW)
    elif outcome == "same token":
        source.gives(OLD)
    else:
        source.fails(FAILURES[outcome])
        source.gives(NEW)
    row = expected(state, outcome)
    caplog.set_level(logging.WARNING, logger="token_client")

    if row.raises is None:
        got = client.get()
        let_background_end()
        assert got.version == row.returns
        assert got.expires_at.timestamp() > clock.now - sum(clock.slept), "an expired token is never returned"
    else:
        with pytest.raises(row.raises):
            client.get()

    assert len(source.requests) - asked_before == row.requests
    assert [record.levelname for record in caplog.records] == (["WARNING"] if row.warns else [])
    assert "plaintext" not in caplog.text


@pytest.mark.parametrize(
    ("state", "outcome", "row"),
    [
        ("aging", "denied", Row(returns=OLD, requests=1, warns=True)),
        ("stale", "throttled", Row(returns=OLD, requests=1, warns=True)),
        ("expired", "throttled", Row(returns=NEW, requests=2)),
        ("expired", "denied", Row(raises=CallerNotAllowed, requests=1)),
        ("expired", "unavailable for long", Row(raises=TokenUnavailable, requests=1)),
        ("rejected", "unavailable soon", Row(returns=NEW, requests=2)),
        ("rejected", "same token", Row(returns=OLD, requests=1)),
        ("rejected and expired", "vending fails", Row(returns=NEW, requests=2)),
        ("absent", "gibberish", Row(raises=UnexpectedAnswer, requests=1)),
    ],
)
def test_the_failure_table_has_the_rows_that_matter_most(state: str, outcome: str, row: Row) -> None:
    assert expected(state, outcome) == row


@pytest.mark.parametrize("outcome", [name for name, error in FAILURES.items() if error.retryable])
@pytest.mark.parametrize("state", ["expired", "rejected", "rejected and expired"])
def test_without_time_to_wait_the_error_comes_and_never_the_dead_token(
    state: str, outcome: str, clock: Clock
) -> None:
    source = ScriptedSource(clock)
    client = client_in(state, source, clock)
    source.fails(FAILURES[outcome])

    with pytest.raises(type(FAILURES[outcome])):
        client.get(wait_seconds=0)

    assert clock.slept == []
