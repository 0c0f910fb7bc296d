"""The 401 rule, without any HTTP."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from token_client import CallerNotAllowed, RequestNotRepeatable, Token, TokenUnavailable
from token_client._attempt import Attempt

from .fakes import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_client._process import Steps, Time

URL = "https://api.example/x"


class Tokens:
    """Gives these versions in turn, each after some seconds, and writes down what is asked and reported."""

    def __init__(self, *versions: str, seconds: float = 0) -> None:
        self.clock = Clock()
        self.time: Time = self.clock
        self.asked: list[tuple[float, str | None]] = []
        self.reported: list[str] = []
        self.error: CallerNotAllowed | None = None
        self._versions = list(versions)
        self._seconds = seconds

    def get(self, wait_seconds: float, *, instead_of: str | None = None) -> Steps[Token]:
        self.asked.append((wait_seconds, instead_of))
        self.clock.now += self._seconds
        if not self._versions:
            raise TokenUnavailable("minting")
        yield from ()
        version = self._versions.pop(0)
        return Token(f"t-{version}", version=version, expires_at=datetime(2030, 1, 1, tzinfo=UTC))

    def reject(self, version: str, wait_seconds: float) -> Steps[None]:
        self.reported.append(version)
        if self.error is not None:
            raise self.error
        yield from ()


def blocking(attempt: Attempt, send: Callable[[Token], int], *, carried: bool = True) -> None:
    run = Clock().run
    token: Token | None = run(attempt.first())
    while token is not None:
        token = run(attempt.after(send(token), carried=carried))


def in_asyncio(attempt: Attempt, send: Callable[[Token], int], *, carried: bool = True) -> None:
    async def drive() -> None:
        run = Clock().arun
        token: Token | None = await run(attempt.first())
        while token is not None:
            token = await run(attempt.after(send(token), carried=carried))

    asyncio.run(drive())


@pytest.fixture(params=[blocking, in_asyncio])
def drive(request: pytest.FixtureRequest) -> Callable[..., None]:
    chosen: Callable[..., None] = request.param
    return chosen


class Api:
    """Answers with these statuses in turn."""

    def __init__(self, *statuses: int) -> None:
        self.sent: list[str] = []
        self._statuses = list(statuses)

    def __call__(self, token: Token) -> int:
        self.sent.append(token.version)
        return self._statuses.pop(0)


def attempt(tokens: Tokens, *, repeatable: bool = True, wait_seconds: float = 20) -> Attempt:
    return Attempt(tokens, URL, wait_seconds=wait_seconds, repeatable=repeatable)


@pytest.mark.parametrize(("status", "carried"), [(200, True), (403, True), (401, False)])
def test_an_answer_that_says_nothing_about_the_token_stands(
    drive: Callable[..., None], status: int, *, carried: bool
) -> None:
    tokens, api = Tokens("first"), Api(status)

    drive(attempt(tokens), api, carried=carried)

    assert (api.sent, tokens.reported, len(tokens.asked)) == (["first"], [], 1)


def test_a_refused_token_is_reported_with_the_request_for_the_next_which_is_sent_once(
    drive: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="token_client")
    tokens, api = Tokens("first", "second"), Api(401, 200)

    drive(attempt(tokens), api)

    assert api.sent == ["first", "second"]
    assert [version for _, version in tokens.asked] == [None, "first"]
    assert [record.getMessage() for record in caplog.records] == [
        "the API refused token version first (HTTP 401)",
        "request sent once more with token version second",
    ]


def test_a_second_token_that_is_refused_is_reported_and_not_followed_by_a_third(
    drive: Callable[..., None],
) -> None:
    tokens, api = Tokens("first", "second", "third"), Api(401, 401)

    drive(attempt(tokens), api)

    assert (api.sent, tokens.reported) == (["first", "second"], ["second"])


def test_a_second_report_that_fails_leaves_the_answer_as_it_is(
    drive: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    tokens, api = Tokens("first", "second"), Api(401, 401)
    tokens.error = CallerNotAllowed("no longer")

    drive(attempt(tokens), api)

    assert "version second could not be reported: no longer" in caplog.text


def test_a_token_that_was_vouched_for_and_is_refused_again_is_not_reported_twice(
    drive: Callable[..., None],
) -> None:
    tokens, api = Tokens("first", "first"), Api(401, 401)

    drive(attempt(tokens), api)

    assert (len(api.sent), tokens.reported) == (2, [])


def test_a_request_that_cannot_be_repeated_reports_all_the_same_and_says_so(
    drive: Callable[..., None],
) -> None:
    tokens = Tokens("first", "second")

    with pytest.raises(RequestNotRepeatable, match="version first"):
        drive(attempt(tokens, repeatable=False), Api(401))

    assert tokens.reported == ["first"]


def test_a_first_report_that_fails_for_good_is_the_error(drive: Callable[..., None]) -> None:
    tokens = Tokens("first")
    tokens.error = CallerNotAllowed("no longer")

    with pytest.raises(CallerNotAllowed):
        drive(attempt(tokens, repeatable=False), Api(401))


def test_only_waiting_for_tokens_counts_against_the_deadline(drive: Callable[..., None]) -> None:
    tokens = Tokens("first", "second", seconds=5)

    def slow(token: Token) -> int:
        tokens.clock.now += 60  # the API takes its time, and then refuses
        return 401 if token.version == "first" else 200

    drive(attempt(tokens, wait_seconds=20), slow)

    assert [seconds for seconds, _ in tokens.asked] == [20, 15]
