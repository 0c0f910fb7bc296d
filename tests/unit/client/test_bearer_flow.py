"""The 401 protocol, without any HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from token_client import RequestNotRepeatable, Token
from token_client._bearer_flow import Reply, Report, Send, TakeToken, bearer_flow


def token(version: str) -> Token:
    return Token(f"t-{version}", version=version, expires_at=datetime(2030, 1, 1, tzinfo=UTC))


FIRST, SECOND = token("first"), token("second")


def test_an_accepted_token_is_sent_once() -> None:
    flow = bearer_flow(repeatable=True)

    assert next(flow) == TakeToken()
    assert flow.send(FIRST) == Send(FIRST)
    with pytest.raises(StopIteration):
        flow.send(Reply.ACCEPTED)


def test_a_refused_token_is_reported_and_the_next_one_sent_once() -> None:
    flow = bearer_flow(repeatable=True)
    next(flow)
    flow.send(FIRST)

    assert flow.send(Reply.REFUSED) == Report("first")
    assert flow.send(None) == TakeToken()
    assert flow.send(SECOND) == Send(SECOND)
    with pytest.raises(StopIteration):
        flow.send(Reply.ACCEPTED)


def test_a_second_token_that_is_refused_is_reported_and_not_followed_by_a_third() -> None:
    flow = bearer_flow(repeatable=True)
    next(flow)
    flow.send(FIRST)
    flow.send(Reply.REFUSED)
    flow.send(None)
    flow.send(SECOND)

    assert flow.send(Reply.REFUSED) == Report("second", answer_stands=True)
    with pytest.raises(StopIteration):
        flow.send(None)


def test_a_token_that_was_vouched_for_and_is_refused_again_is_not_reported_twice() -> None:
    flow = bearer_flow(repeatable=True)
    next(flow)
    flow.send(FIRST)
    flow.send(Reply.REFUSED)
    flow.send(None)
    flow.send(FIRST)

    with pytest.raises(StopIteration):
        flow.send(Reply.REFUSED)


def test_a_request_that_cannot_be_repeated_reports_all_the_same_and_says_so() -> None:
    flow = bearer_flow(repeatable=False)
    next(flow)
    flow.send(FIRST)

    assert flow.send(Reply.REFUSED) == Report("first")
    with pytest.raises(RequestNotRepeatable, match="version first"):
        flow.send(None)
