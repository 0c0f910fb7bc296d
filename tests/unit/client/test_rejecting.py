from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from token_client import CallerNotAllowed, TokenClient, TokenUnavailable, VendingUnavailable

from .fakes import ScriptedSource, timed

if TYPE_CHECKING:
    from .fakes import Clock


@pytest.fixture
def client(source: ScriptedSource, clock: Clock) -> TokenClient:
    return timed(clock, source)


def reported(source: ScriptedSource) -> list[str | None]:
    return [request.rejected_version for request in source.requests]


def test_a_rejection_is_reported_at_once(source: ScriptedSource, client: TokenClient) -> None:
    source.gives("first")
    client.get()
    source.gives("second")

    client.reject("first")

    assert reported(source) == [None, "first"]
    assert client.get().version == "second"
    assert len(source.requests) == 2


def test_a_version_that_was_replaced_already_is_not_reported(
    source: ScriptedSource, client: TokenClient
) -> None:
    source.gives("first")
    client.get()

    client.reject("one from long ago")

    assert reported(source) == [None]
    assert client.get().version == "first"


def test_a_version_known_from_elsewhere_is_reported_by_a_client_that_holds_none(
    source: ScriptedSource, client: TokenClient
) -> None:
    source.gives("second")

    client.reject("first")

    assert reported(source) == ["first"]


def test_a_report_that_failed_is_made_again_with_the_next_request(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first")
    client.get()
    source.fails(VendingUnavailable("reset"))
    client.reject("first")  # does not raise: it may get through later
    source.gives("second")
    clock.now += 10

    assert client.get().version == "second"
    assert reported(source) == [None, "first", "first"]


def test_a_report_that_will_never_get_through_raises(source: ScriptedSource, client: TokenClient) -> None:
    source.gives("first")
    client.get()
    source.fails(CallerNotAllowed("no"))

    with pytest.raises(CallerNotAllowed):
        client.reject("first")


def test_a_new_rejection_does_not_wait_for_what_failed_before_it(
    source: ScriptedSource, client: TokenClient, clock: Clock
) -> None:
    source.gives("first", cache_seconds=300)
    client.get()
    clock.now += 301
    source.fails(TokenUnavailable("later", retry_after=900))
    assert client.get().version == "first"
    source.gives("second")

    client.reject("first")

    assert client.get().version == "second"


def test_a_version_the_vending_side_vouches_for_is_served_again(
    source: ScriptedSource, client: TokenClient
) -> None:
    source.gives("first")
    client.get()
    source.gives("first")

    client.reject("first")

    assert client.get().version == "first"
    assert reported(source) == [None, "first"]


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


def test_min_seconds_goes_with_every_request(source: ScriptedSource, clock: Clock) -> None:
    client = timed(clock, source, min_seconds=600)
    source.gives("first")
    client.get()
    source.gives("second")
    client.reject("first")

    assert [request.payload() for request in source.requests] == [
        {"min_seconds": 600},
        {"rejected_version": "first", "min_seconds": 600},
    ]
