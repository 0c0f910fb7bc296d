"""The 401 rule, without any HTTP: what is reported, when, and what is served afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from token_client import CallerNotAllowed, RequestNotRepeatable, TokenUnavailable, VendingUnavailable
from token_client._attempt import Attempt

from .fakes import let_requests_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_client import Token, TokenClient

    from .fakes import Clock, ScriptedSource


def reported(source: ScriptedSource) -> list[str | None]:
    return [request.rejected_version for request in source.requests]


def test_only_the_version_that_is_held_is_reported_or_any_by_a_client_that_holds_none(
    source: ScriptedSource, client: TokenClient
) -> None:
    source.gives("second")

    client.reject("first")
    client.reject("one from long ago")

    assert reported(source) == ["first"]
    assert client.get().version == "second"


def test_a_report_that_failed_is_made_again_with_the_next_request(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first")
    client.get()
    source.fails(VendingUnavailable("reset"))
    client.reject("first")  # does not raise: it may get through later
    client.reject("first")  # and is not asked again at once
    source.gives("second")
    clock.now += 10

    assert client.get().version == "second"
    assert reported(source) == [None, "first", "first"]


def test_a_report_to_a_vending_side_that_hangs_is_waited_for_shortly_and_made_all_the_same(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first")
    client.get()
    source.gives("second")
    source.may_answer.clear()
    clock.hangs = True

    client.reject("first")

    assert clock.waited_in_vain == [2]
    source.may_answer.set()
    let_requests_end()
    assert client.get().version == "second"
    assert reported(source) == [None, "first"]


def test_a_new_rejection_does_not_wait_for_what_failed_before_it_as_other_callers_do(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first", cache_seconds=300)
    client.get()
    clock.now += 301
    source.fails(TokenUnavailable("later", retry_after=900))
    assert [client.get().version for _ in range(5)] == ["first"] * 5
    assert len(source.requests) == 2
    source.gives("second")

    client.reject("first")

    assert client.get().version == "second"


def test_a_refused_version_from_a_stale_container_is_recognised_and_asked_past(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first")
    client.get()
    source.gives("second", cache_seconds=300)
    client.reject("first")
    clock.now += 301
    source.gives("first")  # another container of the function still caches it
    source.gives("third")

    assert client.get().version == "third"
    assert reported(source) == [None, "first", None, "first"]


def test_a_rejection_is_not_satisfied_by_a_renewal_that_did_not_know_of_it(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first", cache_seconds=300)
    client.get()
    clock.now += 299
    source.gives("first")  # what the renewal, asked before the 401, brings back
    source.gives("second")  # the answer to the report
    source.may_answer.clear()
    client.get()
    clock.while_waiting = source.may_answer.set

    client.reject("first")

    assert client.get().version == "second"
    assert reported(source) == [None, None, "first"]


@pytest.fixture
def refuse(client: TokenClient) -> Callable[..., list[str]]:
    """Send a request to an API that refuses every token, and tell with which versions it was sent."""

    def send(*, repeatable: bool = True) -> list[str]:
        attempt = Attempt(client._cache, "https://api.example/x", wait_seconds=20, repeatable=repeatable)
        sent = []
        token: Token | None = client._time.run(attempt.first())
        while token is not None:
            sent.append(token.version)
            client._time.sleep(60)  # the API takes its time
            token = client._time.run(attempt.after(401, carried=True))
        return sent

    return send


@pytest.mark.parametrize(
    ("status", "carried"), [(200, True), (307, True), (403, True), (503, True), (401, False)]
)
def test_an_answer_other_than_a_401_to_this_token_stands_and_reports_nothing(
    source: ScriptedSource, client: TokenClient, status: int, *, carried: bool
) -> None:
    source.gives("first")
    attempt = Attempt(client._cache, "https://api.example/x", wait_seconds=20, repeatable=True)
    client._time.run(attempt.first())

    assert client._time.run(attempt.after(status, carried=carried)) is None
    assert reported(source) == [None]


def test_a_second_report_that_fails_leaves_the_answer_as_it_is(
    source: ScriptedSource, refuse: Callable[..., list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    source.gives("first")
    source.gives("second")
    source.fails(CallerNotAllowed("no longer"))

    assert refuse() == ["first", "second"]
    assert "version second could not be reported: no longer" in caplog.text


def test_a_token_that_was_vouched_for_and_is_refused_again_is_not_reported_twice(
    source: ScriptedSource, refuse: Callable[..., list[str]]
) -> None:
    source.gives("first")
    source.gives("first")

    assert refuse() == ["first", "first"]
    assert reported(source) == [None, "first"]


@pytest.mark.parametrize(
    ("error", "kind"), [(CallerNotAllowed("no"), CallerNotAllowed), (None, RequestNotRepeatable)]
)
def test_a_request_that_cannot_be_repeated_reports_all_the_same_and_an_error_for_good_is_raised(
    source: ScriptedSource,
    refuse: Callable[..., list[str]],
    error: CallerNotAllowed | None,
    kind: type[Exception],
) -> None:
    source.gives("first")
    if error:
        source.fails(error)
    else:
        source.gives("second")

    with pytest.raises(kind):
        refuse(repeatable=False)

    assert reported(source) == [None, "first"]


def test_only_waiting_for_tokens_counts_against_the_deadline(
    source: ScriptedSource, refuse: Callable[..., list[str]]
) -> None:
    source.fails(TokenUnavailable("minting", retry_after=5))
    source.gives("first")
    source.fails(*[TokenUnavailable("minting", retry_after=5)] * 4)

    with pytest.raises(TokenUnavailable):
        refuse()

    assert reported(source) == [None, None, "first", "first", "first"]
