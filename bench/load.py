"""A bounded load run: more and more callers with the real client, the built function, a strict Secrets Manager.

    python -m bench.load     runs it and writes its table into docs/evidence/performance.md

Minutes are played as seconds: both caches keep the token for CACHE_SECONDS, so that they turn over many times in a
run. What must come out is what bench/cost.py says of the same numbers. Counting begins when every caller has had
the token for a while, so that the rush at the start is not taken for the rate.

The function is the built one in the runtime harness (tests/kit/runtime), not in the embedded stack: the
emulator starts and ends its own environments, runs in the same two cores and would be what is measured.
"""

import datetime as dt
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench import cost, report
from scripts import pages
from tests.kit.runtime.artefacts import VEND, Artefact
from tests.kit.runtime.function import LambdaFunction
from tests.kit.secrets_manager.server import SecretsManager
from token_client import TokenClient, TokenClientError, VendingUnavailable
from token_client._wire import parse_answer
from token_client.testing import Answer, TokenRequest

CACHE_SECONDS = 2
CALLS_A_SECOND = 10.0
RUN_SECONDS = 8.0
SETTLING_SECONDS = 2.0 * CACHE_SECONDS
ENVIRONMENTS = 2
SIZES = (1, 4, 16, 64)


@dataclass
class Run:
    """One size's outcome."""

    callers: int
    seconds: float = 0.0
    calls: int = 0
    hand_outs: int = 0
    secret_reads: int = 0
    hand_out_seconds: list[float] = field(default_factory=list)

    def expected(self) -> cost.Load:
        """What the model says of the same numbers."""
        calls_an_hour = 3600 * self.calls / self.seconds / self.callers
        return cost.load(cost.Scenario(self.callers, calls_an_hour, CACHE_SECONDS, CACHE_SECONDS))

    @property
    def kept_by_callers(self) -> float:
        """The part of the calls that asked nobody."""
        return 1 - self.hand_outs / self.calls

    @property
    def kept_by_the_function(self) -> float:
        """The part of the hand-outs that read no secret."""
        return 1 - self.secret_reads / self.hand_outs


class _Door:
    """The vend function as the client's source: at most ENVIRONMENTS of it at once."""

    def __init__(self, function: LambdaFunction, run: Run) -> None:
        self._function = function
        self._run = run
        self._free = threading.BoundedSemaphore(ENVIRONMENTS)
        self._lock = threading.Lock()
        self.failures: list[TokenClientError] = []

    def start_counting(self) -> None:
        with self._lock:
            self._run.hand_outs = 0
            self._run.hand_out_seconds.clear()

    def fetch(self, request: TokenRequest) -> Answer:
        with self._free:
            result = self._function.invoke(request.payload())
        if not result.ok:
            raise VendingUnavailable(result.error_message)
        with self._lock:
            self._run.hand_outs += 1
            self._run.hand_out_seconds.append(result.seconds)
        return parse_answer(json.dumps(result.payload))


def run_with(callers: int, seconds: float = RUN_SECONDS) -> Run:
    """That many callers, each a client of its own, calling at random times at the same mean rate."""
    now = dt.datetime.now(dt.UTC)
    token = {
        "access_token": "bus|load",
        "token_type": "Bearer",
        "issued_at": (now - dt.timedelta(hours=1)).isoformat(),
        "expires_at": (now + dt.timedelta(days=100)).isoformat(),
        "credentials_version": "1",
        "reason": "no_token",
        "run": "run-1",
    }
    outcome = Run(callers)
    with SecretsManager() as secrets:
        secrets.create("token", token)
        variables = {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
            "TOKEN_SECRET_ID": "token",
            "REFRESH_FUNCTION_NAME": "refresh",
            "CACHE_SECONDS": str(CACHE_SECONDS),
        }
        with LambdaFunction(Artefact.current(VEND), variables) as function:
            door = _Door(function, outcome)
            _warm_up(function)
            counts = [0] * callers
            until = time.monotonic() + SETTLING_SECONDS + seconds
            threads = [
                threading.Thread(target=_call, args=(door, until, counts, number))
                for number in range(callers)
            ]
            for thread in threads:
                thread.start()
            time.sleep(SETTLING_SECONDS)
            begun = time.monotonic()
            door.start_counting()
            secrets.calls.clear()
            before = sum(counts)
            for thread in threads:
                thread.join()
            # Not until the last has ended, who may have been waiting for a call after the end.
            outcome.seconds = until - begun
            if door.failures:
                raise door.failures[0]
            outcome.calls = sum(counts) - before
            outcome.secret_reads = secrets.counts()["GetSecretValue"]
    return outcome


def _warm_up(function: LambdaFunction) -> None:
    """All environments started, so that the run measures none of their starts."""
    starting = [threading.Thread(target=function.invoke, args=({},)) for _ in range(ENVIRONMENTS)]
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join()


def _call(door: _Door, until: float, counts: list[int], number: int) -> None:
    chance = random.Random(number)
    client = TokenClient(source=door)
    time.sleep(chance.uniform(0, CACHE_SECONDS))
    try:
        while time.monotonic() < until:
            client.get()
            counts[number] += 1
            time.sleep(chance.expovariate(CALLS_A_SECOND))
    except TokenClientError as error:
        door.failures.append(error)


def table(runs: Iterable[Run]) -> str:
    """The runs beside the model."""
    lines = [
        (
            f"Taken by `make bench` on {report.now()[:10]}: both caches {CACHE_SECONDS} s, {CALLS_A_SECOND:g} calls "
            f"a second and caller at random times, {RUN_SECONDS:g} s, at most {ENVIRONMENTS} environments; the built "
            "function in the runtime client, without an emulator of Lambda around it, which on the same two "
            "cores would be what is measured. In brackets what the cost model says for as many calls."
        ),
        "",
        (
            "| callers | calls/s | hand-outs/s (model) | kept by callers (model) | secret reads/s | most possible "
            "| kept by the function | p50 of a hand-out, ms |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        expected = run.expected()
        p50 = 1000 * statistics.median(run.hand_out_seconds)
        vends = run.hand_outs / run.seconds
        lines.append(
            f"| {run.callers} | {run.calls / run.seconds:.0f} | {vends:.1f} ({expected.vends:.1f}) | "
            f"{run.kept_by_callers:.1%} ({expected.client_hit_ratio:.1%}) | {run.secret_reads / run.seconds:.2f} | "
            f"{ENVIRONMENTS / CACHE_SECONDS:.1f} | {run.kept_by_the_function:.1%} | {p50:.1f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Runs all sizes and writes the page."""
    runs = [run_with(size) for size in SIZES]
    text = table(runs)
    print(text)
    pages.put(report.PAGE, "load", f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
