"""A bounded load run: more and more callers with the real client, the built function, a strict Secrets Manager.

Minutes are played as seconds: both caches keep the token for CACHE_SECONDS, so that they turn over many times in a
run. What must come out is what bench/cost.py says of the same numbers. Counting begins when every caller has had
the token for a while, so that the rush at the start is not taken for the rate.

The function is the built one in the runtime harness (tests/kit/runtime), not in the embedded stack: the
emulator starts and ends its own environments, runs in the same two cores and would be what is measured.
"""

import json
import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from bench import cost
from bench.aws import token_secret
from bench.report import today
from scripts.pages import table
from tests.kit.runtime.artefacts import VEND, Artefact
from tests.kit.runtime.function import LambdaFunction
from tests.kit.secrets_manager.server import SecretsManager
from token_client import TokenClient, VendingUnavailable
from token_client._wire import parse_answer
from token_client.testing import Answer, TokenRequest

CACHE_SECONDS = 2
CALLS_A_SECOND = 10.0
RUN_SECONDS = 8.0
SETTLING_SECONDS = 2.0 * CACHE_SECONDS
ENVIRONMENTS = 2
SIZES = (1, 4, 16, 64)


class Run(NamedTuple):
    """One size's outcome."""

    callers: int
    seconds: float
    calls: int
    secret_reads: int
    hand_out_seconds: list[float]

    @property
    def hand_outs(self) -> int:
        """How many."""
        return len(self.hand_out_seconds)


class _Door:
    """The vend function as the client's source: at most ENVIRONMENTS of it at once."""

    def __init__(self, function: LambdaFunction) -> None:
        self._function = function
        self._free = threading.BoundedSemaphore(ENVIRONMENTS)
        self.seconds: list[float] = []

    def fetch(self, request: TokenRequest) -> Answer:
        with self._free:
            result = self._function.invoke(request.payload())
        if not result.ok:
            raise VendingUnavailable(result.error_message)
        self.seconds.append(result.seconds)
        return parse_answer(json.dumps(result.payload))


def run_with(callers: int, seconds: float = RUN_SECONDS) -> Run:
    """That many callers, each a client of its own, calling at random times at the same mean rate."""
    with SecretsManager() as secrets:
        secrets.create("token", token_secret())
        variables = {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
            "TOKEN_SECRET_ID": "token",
            "REFRESH_FUNCTION_NAME": "refresh",
            "CACHE_SECONDS": str(CACHE_SECONDS),
        }
        with LambdaFunction(Artefact.current(VEND), variables) as function:
            door = _Door(function)
            # All environments are started, so that the run measures none of their starts.
            with ThreadPoolExecutor(ENVIRONMENTS) as pool:
                for warm in [pool.submit(function.invoke, {}) for _ in range(ENVIRONMENTS)]:
                    warm.result()
            counts = [0] * callers
            until = time.monotonic() + SETTLING_SECONDS + seconds
            with ThreadPoolExecutor(callers) as pool:
                calling = [pool.submit(_call, door, until, counts, number) for number in range(callers)]
                time.sleep(SETTLING_SECONDS)
                begun = time.monotonic()
                door.seconds.clear()
                secrets.calls.clear()
                before = sum(counts)
                for each in calling:
                    each.result()
            # Not until the last has ended, who may have been waiting for a call after the end.
            reads = secrets.counts()["GetSecretValue"]
            return Run(callers, until - begun, sum(counts) - before, reads, door.seconds)


def _call(door: _Door, until: float, counts: list[int], number: int) -> None:
    chance = random.Random(number)
    client = TokenClient(source=door)
    time.sleep(chance.uniform(0, CACHE_SECONDS))
    while time.monotonic() < until:
        client.get()
        counts[number] += 1
        time.sleep(chance.expovariate(CALLS_A_SECOND))


def page() -> str:
    """Runs all sizes; the result beside the model, as docs/evidence/performance.md shows it."""
    rows = []
    for run in map(run_with, SIZES):
        calls_an_hour = 3600 * run.calls / run.seconds / run.callers
        expected = cost.load(cost.Scenario(run.callers, calls_an_hour, CACHE_SECONDS, CACHE_SECONDS))
        a_second = [count / run.seconds for count in (run.calls, run.hand_outs, run.secret_reads)]
        reached = cost.Load(a_second[0], a_second[1], a_second[2], ENVIRONMENTS)
        rows.append(
            (
                *(run.callers, f"{reached.calls:.0f}", f"{reached.vends:.1f} ({expected.vends:.1f})"),
                f"{reached.client_hit_ratio:.1%} ({expected.client_hit_ratio:.1%})",
                *(f"{reached.secret_reads:.2f}", f"{ENVIRONMENTS / CACHE_SECONDS:.1f}"),
                f"{reached.vend_hit_ratio:.1%}",
                f"{1000 * statistics.median(run.hand_out_seconds):.1f}",
            )
        )
    heads = (
        "callers | calls/s | hand-outs/s (model) | kept by callers (model) | secret reads/s | most possible "
        "| kept by the function | p50 of a hand-out, ms"
    )
    return (
        f"Taken by `make bench` on {today()}: both caches {CACHE_SECONDS} s, {CALLS_A_SECOND:g} calls "
        f"a second and caller at random times, {RUN_SECONDS:g} s, at most {ENVIRONMENTS} environments; the built "
        "function in the runtime client, without an emulator of Lambda around it, which on the same two "
        "cores would be what is measured. In brackets what the cost model says for as many calls.\n\n"
    ) + table(heads.split(" | "), rows)
