"""The whole table: the state of the held token by the outcome of asking for a new one, in every runtime.

What is observed must be what docs/callers.md shows. UPDATE=1 writes it there.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from token_client import (
    CallerNotAllowed,
    ConfigurationError,
    InvalidRequest,
    Token,
    TokenClient,
    TokenClientError,
    TokenUnavailable,
    UnexpectedAnswer,
    VendingUnavailable,
)

from .fakes import Clock, ScriptedSource, let_requests_end, timed

if TYPE_CHECKING:
    from collections.abc import Callable

LIFE_SECONDS = 3600.0
CACHE_SECONDS = 300.0
STALE_WAIT_SECONDS = 2.0  # the client's default, as is the next
DEADLINE_SECONDS = 20.0

AGES = {"aging": 0.95 * CACHE_SECONDS, "stale": CACHE_SECONDS, "expired": LIFE_SECONDS}
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
OUTCOMES = ("new token", "same token", "hanging", *FAILURES)
OLD, NEW = "old", "new"

RUNTIMES: dict[str, Callable[[TokenClient, float | None], Token]] = {
    "threads": lambda client, seconds: client.get(wait_seconds=seconds),
    "asyncio": lambda client, seconds: asyncio.run(client.aget(wait_seconds=seconds)),
    "trio": lambda client, seconds: trio.run(partial(client.aget, wait_seconds=seconds)),
}


@dataclass(frozen=True)
class Row:
    """What a caller gets, after how long, by how many requests, and whether the log has a warning."""

    returns: str | None = None
    raises: type[TokenClientError] | None = None
    after_seconds: float = 0
    requests: int = 1
    warns: bool = False


def expected(state: str, outcome: str) -> Row:  # noqa: PLR0911 - a row each
    """The table, by rule. docs/callers.md spells rows out."""
    if state == "fresh":
        return Row(returns=OLD, requests=0)
    fails, hangs = outcome in FAILURES, outcome == "hanging"
    if state == "aging":
        return Row(returns=OLD, warns=fails)
    if state == "stale":
        returns = OLD if fails or hangs or outcome == "same token" else NEW
        return Row(returns=returns, after_seconds=STALE_WAIT_SECONDS if hangs else 0, warns=fails)
    if hangs:
        return Row(raises=VendingUnavailable, after_seconds=DEADLINE_SECONDS)
    # A failure that time may mend is asked for again within the deadline, once here.
    pauses = {
        "unavailable soon": 5.25,
        "unavailable, no time given": 0.5,
        "vending fails": 0.5,
        "throttled": 0.5,
    }
    if outcome in pauses:
        return Row(returns=NEW, after_seconds=pauses[outcome], requests=2)
    if fails:
        return Row(raises=type(FAILURES[outcome]))
    return Row(returns=NEW if outcome == "new token" else OLD)


def client_in(state: str, source: ScriptedSource, clock: Clock) -> TokenClient:
    client = timed(clock, source)
    if state == "absent":
        return client
    source.gives(OLD, expires_in=LIFE_SECONDS, cache_seconds=CACHE_SECONDS)
    client.get()
    clock.now += AGES.get(state, 1.0)
    if state.startswith("rejected"):
        client._cache.holding.note_refused(OLD)  # and not told yet, so that it is still to be dealt with
        clock.now += LIFE_SECONDS if state == "rejected and expired" else 0
    return client


def observe(
    runtime: str,
    state: str,
    outcome: str,
    caplog: pytest.LogCaptureFixture,
    wait_seconds: float | None = None,
) -> Row:
    """Bring the client into the state, let the request have that outcome, and see what a caller gets."""
    clock = Clock()
    source = ScriptedSource(clock)
    client = client_in(state, source, clock)
    asked, began = len(source.requests), clock.now
    if outcome in FAILURES:
        source.fails(FAILURES[outcome])
    source.gives(OLD if outcome == "same token" else NEW)
    if outcome == "hanging":
        clock.hangs = True
        source.may_answer.clear()
    caplog.clear()
    caplog.set_level(logging.WARNING, logger="token_client")
    returns, raises = None, None
    try:
        token = RUNTIMES[runtime](client, wait_seconds)
    except TokenClientError as error:
        raises = type(error)
    else:
        returns = token.version
        assert token.expires_at.timestamp() > clock.now, "an expired token is never returned"
    after_seconds = clock.now - began
    source.may_answer.set()
    let_requests_end()
    assert "plaintext" not in caplog.text
    assert [record.levelname for record in caplog.records] in ([], ["WARNING"])
    return Row(returns, raises, after_seconds, len(source.requests) - asked, bool(caplog.records))


@pytest.mark.parametrize(("runtime", "state", "outcome"), list(itertools.product(RUNTIMES, STATES, OUTCOMES)))
def test_each_state_and_outcome_gives_a_caller_what_the_failure_table_says(
    runtime: str, state: str, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert observe(runtime, state, outcome, caplog) == expected(state, outcome)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "outcome", [*(name for name, error in FAILURES.items() if error.retryable), "hanging"]
)
@pytest.mark.parametrize("state", ["expired", "rejected", "rejected and expired"])
def test_without_time_to_wait_the_error_comes_and_never_the_dead_token(
    runtime: str, state: str, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    hangs = Row(raises=VendingUnavailable, after_seconds=STALE_WAIT_SECONDS)
    fails = Row(raises=type(FAILURES.get(outcome, VendingUnavailable(""))))

    assert observe(runtime, state, outcome, caplog, wait_seconds=0) == (
        hangs if outcome == "hanging" else fails
    )


PAGE = Path(__file__).parents[3] / "docs" / "callers.md"
TABLE = re.compile(r"(<!-- failure table: python -->\n).*?(<!-- end of failure table: python -->)", re.DOTALL)
SHOWN_STATES = {
    "fresh": "fresh",
    "in the last quarter of `cache_seconds`": "aging",
    "stale: older than `cache_seconds`": "stale",
    "expired": "expired",
    "refused by the API": "rejected",
    "none": "absent",
}
SHOWN_OUTCOMES = {
    "answers": "new token",
    "refuses the caller": "denied",
    "says: in 5 s": "unavailable soon",
    "says: in 900 s": "unavailable for long",
    "fails": "vending fails",
    "hangs": "hanging",
}


def cell(row: Row) -> str:
    gets = {OLD: "it", NEW: "the new one"}.get(row.returns or "", f"`{row.raises and row.raises.__name__}`")
    when = f"after {row.after_seconds + 1e-9:.1f} s".replace(".0", "") if row.after_seconds else "at once"
    return f"{gets} {when} ({row.requests})"


def test_the_page_shows_what_was_observed_alike_in_every_runtime(caplog: pytest.LogCaptureFixture) -> None:
    head = ["the token in memory", *(f"the vending side {words}" for words in SHOWN_OUTCOMES)]
    lines = [head, ["---"] * len(head)]
    for words, state in SHOWN_STATES.items():
        line = [words]
        for outcome in SHOWN_OUTCOMES.values():
            (seen,) = {cell(observe(runtime, state, outcome, caplog)) for runtime in RUNTIMES}
            line.append(seen)
        lines.append(line)
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    if os.environ.get("UPDATE"):
        PAGE.write_text(TABLE.sub(rf"\1{table}\2", PAGE.read_text()))

    found = TABLE.search(PAGE.read_text())
    assert found is not None
    assert table in found[0]
