"""64 threads that want the token at once: the client beside two libraries that keep secrets in memory.

*Cold*: nothing was asked yet. *Expired*: what is kept is too old, and a new version has been stored. The libraries
read the secret themselves; the client asks the vending function. Lambda and Secrets Manager are stand-ins in a
process of their own, that take the same time for each request.
"""

import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any, NamedTuple, override

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig
from botocore.config import Config

from bench.aws import ACCESS_TOKEN, served
from bench.report import today
from scripts.pages import table
from tests.kit.secrets_manager.server import REGION, SecretsManager
from tests.kit.stand_ins.lambda_service import LambdaService
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response
from token_client import TokenClient
from token_client._direct import DirectInvoke

THREADS = 64
ROUNDS = 5
ROUND_TRIP_SECONDS = 0.03

# How long each keeps the token (one of them between half and the whole of it, by chance), and when none does any more.
KEPT_SECONDS = 2
EXPIRED_AFTER_SECONDS = 2.2


class _Slow(LoopbackServer):
    @override
    def handle(self, request: Request) -> Response | None:
        time.sleep(ROUND_TRIP_SECONDS)
        return super().handle(request)


class _SlowSecretsManager(_Slow, SecretsManager):
    pass


class _SlowLambda(_Slow, LambdaService):
    pass


def _vend(_event: Any, request_id: str, _qualifier: str | None) -> Any:
    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=KEPT_SECONDS)
    answer = {
        "access_token": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": KEPT_SECONDS,
        "expires_at": expires_at.isoformat(),
        "version": request_id,
        "cache_seconds": KEPT_SECONDS,
    }
    return SimpleNamespace(payload=answer, error=None)


def serve(user: Connection) -> None:
    """Sends the stand-ins' addresses, by service."""
    with _SlowSecretsManager() as secrets, _SlowLambda() as functions:
        functions.wire("vend", _vend)
        secrets.create("token", {"access_token": ACCESS_TOKEN})
        user.send({"secretsmanager": secrets.url, "lambda": functions.url})
        user.poll(None)


class Sdk:
    """Clients of the stand-ins, and how many requests they have sent."""

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls
        self._session = boto3.Session("test", "test", region_name=REGION)
        self._lock = threading.Lock()
        self.requests = 0

    def client(self, service: str, **options: Any) -> Any:
        """As a boto3 session's, with a connection for each thread."""
        config = Config(max_pool_connections=THREADS).merge(options.pop("config", None) or Config())
        session: Any = self._session
        client = session.client(service, endpoint_url=self._urls[service], config=config, **options)
        client.meta.events.register("before-send", self._count)
        return client

    def get_credentials(self) -> Any:
        """Makes this a session for TokenClient."""
        return self._session.get_credentials()

    def _count(self, **_sent: Any) -> None:
        with self._lock:
            self.requests += 1


def _token_client(sdk: Sdk) -> Callable[[], object]:
    # Its AWS client is made beforehand, as those of the others are.
    client = TokenClient(source=DirectInvoke("vend", call_timeout_seconds=12, session=sdk))
    return lambda: client.get().access_token()


def _powertools(sdk: Sdk) -> Callable[[], object]:
    provider = SecretsProvider(boto3_client=sdk.client("secretsmanager"))
    return lambda: provider.get("token", max_age=KEPT_SECONDS, transform="json")


def _caching(sdk: Sdk) -> Callable[[], object]:
    config = SecretCacheConfig(secret_refresh_interval=KEPT_SECONDS)
    cache = SecretCache(config, sdk.client("secretsmanager"))
    return lambda: json.loads(cache.get_secret_string("token"))


LIBRARIES: dict[str, Callable[[Sdk], Callable[[], object]]] = {
    "**TokenClient**": _token_client,
    "Powertools `parameters`": _powertools,
    "aws-secretsmanager-caching": _caching,
}


class Rush(NamedTuple):
    """What 64 threads at once cost."""

    requests: int
    """To Lambda or Secrets Manager."""
    seconds: float
    """Until the last thread had the token."""


def rush(ask: Callable[[], object], sdk: Sdk) -> Rush:
    """All threads at once. Raises what the first of them that failed was told."""
    ready = threading.Barrier(THREADS + 1)

    def run() -> None:
        ready.wait(30)
        ask()

    with ThreadPoolExecutor(THREADS) as pool:
        asking = [pool.submit(run) for _ in range(THREADS)]
        before, begun = sdk.requests, time.perf_counter()
        ready.wait(30)
        for each in asking:
            each.result(30)
        return Rush(sdk.requests - before, time.perf_counter() - begun)


def one_round(urls: dict[str, str]) -> dict[str, tuple[Rush, Rush]]:
    """Every library once, cold and expired."""
    sdks = {library: Sdk(urls) for library in LIBRARIES}
    asks = {library: make(sdks[library]) for library, make in LIBRARIES.items()}
    cold = {library: rush(ask, sdks[library]) for library, ask in asks.items()}
    time.sleep(EXPIRED_AFTER_SECONDS)
    new = json.dumps({"access_token": f"bus|{time.time_ns()}"})
    Sdk(urls).client("secretsmanager").put_secret_value(SecretId="token", SecretString=new)
    return {library: (cold[library], rush(ask, sdks[library])) for library, ask in asks.items()}


_ALONE = """
import sys, time, timeit
begun = time.perf_counter()
from token_client import TokenClient
from token_client.testing import FakeTokenSource
imported = time.perf_counter() - begun
get = TokenClient(source=FakeTokenSource()).get
get()
each = min(timeit.repeat(get, number=100_000, repeat=5)) / 100_000
print(imported * 1e3, each * 1e6)
"""


def alone() -> str:
    """What the client costs by itself: the first import in a new process, and a token from memory."""
    runs = [
        subprocess.run([sys.executable, "-c", _ALONE], capture_output=True, text=True, check=True, timeout=60)
        for _ in range(ROUNDS)
    ]
    imported, each = (
        statistics.median(values)
        for values in zip(*(map(float, run.stdout.split()) for run in runs), strict=True)
    )
    return f"TokenClient alone: imported in {imported:.0f} ms, without botocore; a token from memory in {each:.1f} µs."


def page() -> str:
    """Runs it; the result as docs/evidence/performance.md shows it."""
    with served(serve) as urls:
        rounds = [one_round(urls) for _ in range(ROUNDS)]
    rows = []
    # By library: for cold and for expired the most requests, and the median time.
    found = {
        library: [
            (max(each.requests for each in rushes), statistics.median(each.seconds for each in rushes))
            for rushes in zip(*(taken[library] for taken in rounds), strict=True)
        ]
        for library in LIBRARIES
    }
    for library, taken in found.items():
        times = []
        for (_, seconds), (_, ours) in zip(taken, found["**TokenClient**"], strict=True):
            times += [f"{1000 * seconds:.0f}", f"{seconds / ours:.1f}"]
        rows.append([library, *(requests for requests, _ in taken), *times])
    heads = "requests, cold | requests, expired | ms, cold | to TokenClient | ms, expired | to TokenClient"
    return (
        f"Taken by `bench/crowd.py`, a part of `make bench`, on {today()}: {THREADS} threads, "
        f"{ROUND_TRIP_SECONDS * 1000:g} ms a request, the most requests and the median time of {ROUNDS} rounds, "
        f"all in turn; load average {os.getloadavg()[0]:.1f}.\n\n"
        f"{table(['', *heads.split(' | ')], rows)}\n{alone()}\n"
    )
