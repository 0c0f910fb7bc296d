"""The client through both doors of the real functions, and the vendor's stand-in behind them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, override

import pytest

from tests.integration.world import MIN_AGE_SECONDS, Stage
from tests.kit.personr import WHOAMI_PATH
from tests.kit.runtime import FunctionUrl
from tests.kit.runtime.function_url import CALLER, Principal
from tests.kit.secrets_manager.server import ACCOUNT_ID, REGION
from token_client import CallerNotAllowed, InvalidRequest, TokenClient, TokenUnavailable
from token_client._process import Time

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 64
STRANGER = Principal(
    "AKIASTRANGER00000000", "strangers-secret", f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/stranger/session"
)


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


@pytest.fixture(params=["direct", "http"])
def client(
    request: pytest.FixtureRequest, world: Stage, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TokenClient]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CALLER.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CALLER.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", world.lambda_service.url)
    monkeypatch.setattr(TokenClient, "_time", Ahead(world))
    if request.param == "direct":
        world.lambda_service.wire("vend", world.vend.run)
        yield TokenClient("vend", min_seconds=60)
    else:
        with FunctionUrl(world.vend.run, [CALLER, STRANGER]) as url:
            yield TokenClient(url=url.url, min_seconds=60)


def whoami(client: TokenClient, world: Stage) -> int:
    return client.http.request("GET", f"{world.vendor.url}{WHOAMI_PATH}").status


def test_the_token_works_at_the_vendor(client: TokenClient, world: Stage) -> None:
    version = world.mint_first()

    assert client.get().version == version
    assert whoami(client, world) == 200


def test_the_first_token_is_waited_for(client: TokenClient, world: Stage) -> None:
    assert whoami(client, world) == 200
    assert world.vendor.mint_count() == 1


def test_a_killed_token_costs_time_and_no_failure(client: TokenClient, world: Stage) -> None:
    world.mint_first()
    client.get()
    world.age_token(MIN_AGE_SECONDS + 60)
    world.vendor.mint_elsewhere()

    assert whoami(client, world) == 200
    assert world.vendor.mint_count() == 3, "ours, the foreign one, and one to heal"
    assert world.holds()


def expire(client: TokenClient) -> None:
    """Let what the client holds be an expired token."""
    holding = client._cache.holding
    assert holding._held is not None
    holding._held, holding._fresh = replace(holding._held, expires_at=time.time() - 1), None


def test_64_threads_cold_and_expired_make_one_invocation_each(
    client: TokenClient, world: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = world.mint_first()
    invocations: list[object] = []
    invoke = world.vend.invoke

    def counted(*args: Any, **options: Any) -> Any:
        invocations.append(args)
        return invoke(*args, **options)

    monkeypatch.setattr(world.vend, "invoke", counted)

    def all_at_once() -> set[str]:
        ready = threading.Barrier(THREADS)

        def get() -> str:
            ready.wait(30)
            return client.get().version

        with ThreadPoolExecutor(THREADS) as pool:
            return {future.result() for future in [pool.submit(get) for _ in range(THREADS)]}

    assert all_at_once() == {version}
    assert len(invocations) == 1
    expire(client)
    assert all_at_once() == {version}
    assert len(invocations) == 2


def test_many_threads_heal_with_one_mint(client: TokenClient, world: Stage) -> None:
    world.mint_first()
    client.get()
    world.age_token(MIN_AGE_SECONDS + 60)
    world.vendor.mint_elsewhere()

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: whoami(client, world), range(32)))

    assert answers == [200] * 32
    assert world.vendor.mint_count() == 3


def test_a_token_replaced_by_the_schedule_costs_one_report_and_no_mint(
    client: TokenClient, world: Stage
) -> None:
    world.mint_first()
    client.get()
    assert world.tick(force=True).payload["outcome"] == "refreshed"

    assert whoami(client, world) == 200
    assert world.vendor.mint_count() == 2


def test_a_token_too_young_to_be_replaced_is_a_clear_error(client: TokenClient, world: Stage) -> None:
    world.mint_first()
    client.get()
    world.vendor.mint_elsewhere()

    with pytest.raises(TokenUnavailable) as caught:
        whoami(client, world)

    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 20
    assert world.vendor.mint_count() == 2


def test_a_request_the_function_does_not_take_is_named(client: TokenClient, world: Stage) -> None:
    world.mint_first()
    client._cache.holding._min_seconds = -1

    with pytest.raises(InvalidRequest, match="min_seconds"):
        client.get()


def test_a_caller_that_is_not_listed_is_refused_over_http(
    world: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", STRANGER.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", STRANGER.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    world.mint_first()
    with (
        FunctionUrl(world.vend.run, [CALLER, STRANGER]) as url,
        pytest.raises(CallerNotAllowed, match="AllowedCallers"),
    ):
        TokenClient(url=url.url).get()
