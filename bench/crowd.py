"""64 threads that want the token at once: the client beside two libraries that keep secrets in memory.

    python -m bench.crowd     runs it and writes its table into docs/evidence/performance.md

*Cold*: nothing was asked yet. *Expired*: what is kept is too old, and a new version has been stored. The libraries
read the secret themselves; the client asks the vending function. Lambda and Secrets Manager are stand-ins in a
process of their own, that take the same time for each request.
"""

import contextlib
import datetime as dt
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, override

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig
from botocore.config import Config

from bench import report
from scripts import pages
from tests.kit.secrets_manager.server import REGION, SecretsManager
from tests.kit.stand_ins.lambda_service import LambdaService
from tests.kit.stand_ins.loopback import Request, Response
from token_client import TokenClient
from token_client._direct import DirectInvoke

THREADS = 64
ROUNDS = 5
ROUND_TRIP_SECONDS = 0.03

# How long each keeps the token (one of them between half and the whole of it, by chance), and when none does any more.
KEPT_SECONDS = 2
EXPIRED_AFTER_SECONDS = 2.2

ROOT = Path(__file__).resolve().parents[1]


class _SlowSecretsManager(SecretsManager):
    @override
    def handle(self, request: Request) -> Response | None:
        time.sleep(ROUND_TRIP_SECONDS)
        return super().handle(request)


class _SlowLambda(LambdaService):
    @override
    def handle(self, request: Request) -> Response | None:
        time.sleep(ROUND_TRIP_SECONDS)
        return super().handle(request)


@dataclass
class _Vended:
    """What the vending function answers."""

    payload: Any
    error: dict[str, Any] | None = None


def _vend(_event: Any, request_id: str, _qualifier: str | None) -> _Vended:
    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=KEPT_SECONDS)
    return _Vended(
        {
            "access_token": "bus|" + "1234567890abcdef" * 4,
            "token_type": "Bearer",
            "expires_in": KEPT_SECONDS,
            "expires_at": expires_at.isoformat(),
            "version": request_id,
            "cache_seconds": KEPT_SECONDS,
        }
    )


def serve() -> None:
    """The stand-ins, until SIGTERM; their addresses on one line."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with _SlowSecretsManager() as secrets, _SlowLambda() as functions:
        functions.wire("vend", _vend)
        secrets.create("token", {"access_token": "bus|" + "1234567890abcdef" * 4})
        print(json.dumps({"secretsmanager": secrets.url, "lambda": functions.url}), flush=True)
        ended.wait()


@contextlib.contextmanager
def served() -> Iterator[dict[str, str]]:
    """The stand-ins in a process of their own, by service."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.crowd", "serve"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(10)


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


@dataclass(frozen=True)
class Rush:
    """What 64 threads at once cost.

    Attributes:
        requests: to Lambda or Secrets Manager.
        seconds: until the last thread had the token.
    """

    requests: int
    seconds: float


def rush(ask: Callable[[], object], sdk: Sdk) -> Rush:
    """All threads at once.

    Raises:
        Exception: whatever the first thread that failed was told.
    """
    ready = threading.Barrier(THREADS + 1)
    failures: list[Exception] = []

    def run() -> None:
        ready.wait(30)
        try:
            ask()
        except Exception as error:  # noqa: BLE001 - shown by the caller
            failures.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    before = sdk.requests
    begun = time.perf_counter()
    ready.wait(30)
    for thread in threads:
        thread.join(30)
    if failures:
        raise failures[0]
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


def measure(rounds: int = ROUNDS) -> dict[str, list[tuple[Rush, Rush]]]:
    """All libraries, in turn."""
    with served() as urls:
        taken = [one_round(urls) for _ in range(rounds)]
    return {library: [each[library] for each in taken] for library in LIBRARIES}


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


def table(found: dict[str, list[tuple[Rush, Rush]]]) -> str:
    """As docs/evidence/performance.md shows it."""
    rounds = len(next(iter(found.values())))
    lines = [
        (
            f"Taken by `bench/crowd.py`, a part of `make bench`, on {report.now()[:10]}: {THREADS} threads, "
            f"{ROUND_TRIP_SECONDS * 1000:g} ms a request, the most requests and the median time of {rounds} rounds, "
            f"all in turn; load average {os.getloadavg()[0]:.1f}."
        ),
        "",
        "| | requests, cold | requests, expired | ms, cold | to TokenClient | ms, expired | to TokenClient |",
        "|---|---|---|---|---|---|---|",
    ]
    first = [_median(found, "**TokenClient**", place) for place in (0, 1)]
    for library, taken in found.items():
        requests = [max(pair[place].requests for pair in taken) for place in (0, 1)]
        seconds = [_median(found, library, place) for place in (0, 1)]
        cells = [library, *map(str, requests)]
        for mine, its in zip(first, seconds, strict=True):
            cells += [f"{1000 * its:.0f}", f"{its / mine:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", alone()])


def _median(found: dict[str, list[tuple[Rush, Rush]]], library: str, place: int) -> float:
    return statistics.median(pair[place].seconds for pair in found[library])


def main() -> int:
    """Runs it and writes the page."""
    if sys.argv[1:] == ["serve"]:
        serve()
        return 0
    text = table(measure())
    print(text)
    pages.put(report.PAGE, "crowd", f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
