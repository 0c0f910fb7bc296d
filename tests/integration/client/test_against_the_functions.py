"""The client through both doors of the real functions, and the vendor's stand-in behind them."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, override

import pytest

from tests.integration.world import MIN_AGE_SECONDS, Stage
from tests.kit.personr import WHOAMI_PATH
from tests.kit.runtime.function_url import CALLER
from token_client import CallerNotAllowed, InvalidRequest, TokenClient, TokenUnavailable, _aws
from token_client._process import Time

from .surroundings import STRANGER, keys
from .ways import EVERY_WAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kit.runtime import FunctionUrl

THREADS = 64


class Ahead(Time):
    """The wall clock, which a sleep moves on at once, after everything under way has ended."""

    def __init__(self, world: Stage) -> None:
        self._world = world
        self._ahead = 0.0
        self._lock = threading.Lock()

    @override
    def wall(self) -> float:
        return time.time() + self._ahead

    @override
    def sleep(self, seconds: float) -> None:
        wake_at = self.wall() + seconds
        with self._lock:  # threads that sleep at the same time wait for the same end, and sleep once
            self._world.lambda_service.settle()
            self._ahead = max(self._ahead, wake_at - time.time())


@pytest.fixture
def clients(world: Stage, url: FunctionUrl, monkeypatch: pytest.MonkeyPatch) -> dict[str, TokenClient]:
    """One for each door."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", world.lambda_service.url)
    monkeypatch.setattr(TokenClient, "_time", Ahead(world))
    # Long, since it is the real functions that are waited for, and shorter than the least age of a token.
    options: Any = {"min_seconds": MIN_AGE_SECONDS, "wait_seconds": MIN_AGE_SECONDS / 2}
    return {"direct": TokenClient("vend", **options), "http": TokenClient(url=url.url, **options)}


@pytest.fixture(params=["direct", "http"])
def client(request: pytest.FixtureRequest, clients: dict[str, TokenClient]) -> TokenClient:
    return clients[request.param]


def all_at_once[T](work: Callable[[], T]) -> set[T]:
    ready = threading.Barrier(THREADS)

    def run() -> T:
        ready.wait(30)
        return work()

    with ThreadPoolExecutor(THREADS) as pool:
        return {future.result() for future in [pool.submit(run) for _ in range(THREADS)]}


def test_many_threads_meet_no_token_a_killed_one_a_replaced_one_and_one_too_young(
    client: TokenClient, world: Stage
) -> None:
    minted = world.vendor.mint_count()

    def mints() -> int:
        return world.vendor.mint_count() - minted

    def whoami() -> int:
        return client.http.request("GET", f"{world.vendor.url}{WHOAMI_PATH}").status

    assert all_at_once(whoami) == {200}, "the first token is waited for"
    assert (mints(), client.get().version) == (1, world.version)

    world.age_token(MIN_AGE_SECONDS + 60)
    world.vendor.mint_elsewhere()
    assert all_at_once(whoami) == {200}, "a killed token costs time and no failure"
    assert mints() == 3, "ours, the foreign one, and one to heal"
    assert world.holds()

    assert world.tick(force=True).payload["outcome"] == "refreshed"
    assert whoami() == 200
    assert mints() == 4, "a token replaced by the schedule costs a report and no mint"

    world.vendor.mint_elsewhere()
    with pytest.raises(TokenUnavailable) as caught:
        whoami()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > MIN_AGE_SECONDS / 2, "or it would have waited"
    assert mints() == 5


def test_what_the_function_does_not_take_or_give_is_named(
    clients: dict[str, TokenClient], world: Stage, url: FunctionUrl
) -> None:
    world.mint_first()
    for client in clients.values():
        client._cache.holding._min_seconds = -1
        with pytest.raises(InvalidRequest, match="min_seconds"):
            client.get()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in keys(STRANGER).items():
            environment.setenv(name, value)
        stranger = TokenClient(url=url.url)
        _aws.shared.start_over()
        with pytest.raises(CallerNotAllowed, match="AllowedCallers"):
            stranger.get()


def test_no_secret_is_logged_or_raised_at_debug(
    clients: dict[str, TokenClient], world: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything logs, and both clients heal by every way they have."""
    caplog.set_level(logging.DEBUG)
    world.mint_first()
    address = f"{world.vendor.url}{WHOAMI_PATH}"
    errors = ""

    def by_each_client(way: Callable[..., int]) -> set[int]:
        return {way(client, "POST", address, json={"id": 5}) for client in clients.values()}

    for way in EVERY_WAY.values():
        assert by_each_client(way) == {200}
        assert world.tick(force=True).ok  # the token in memory dies
        assert by_each_client(way) == {200}
    world.vendor.mint_elsewhere()  # a token too young to be replaced dies: an error
    for client in clients.values():
        for way in EVERY_WAY.values():
            with pytest.raises(TokenUnavailable) as caught:
                way(client, "POST", address, json={"id": 5})
            report = traceback.TracebackException.from_exception(caught.value, capture_locals=False)
            errors += "".join(report.format())

    seen = caplog.text + errors + repr(clients)
    assert {"botocore", "urllib3", "httpx"} & {record.name.partition(".")[0] for record in caplog.records}
    assert len(seen) > 10_000, "so much is logged that there is something to find"
    searched = [*world.secret_texts(), CALLER.secret_key]
    assert len(searched) > len(EVERY_WAY), "a token for each way at least"
    assert [text for text in searched if text in seen] == []
