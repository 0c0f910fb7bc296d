"""The example consumer, deployed beside the stack: a killed token costs its user nothing but time."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.kit.personr import WHOAMI_PATH
from tests.kit.stack import EmbeddedStack
from tests.kit.stand_ins.loopback import Request, Response

TEMPLATE = Path(__file__).parents[2] / "examples" / "consumer" / "template.yaml"
KILLS = 5
CALLS_PER_KILL = 40
# Some calls are under way then.
KILLED_BEFORE_CALL = 10
AT_ONCE = 4
# The consumer waits for the API's answer for 5 seconds.
HELD_SECONDS = 2.0
MOST_ROUNDS = 30

pytestmark = [pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Consumer:
    """The deployed consumer."""

    stack: EmbeddedStack
    name: str
    lambdas: Any
    """One client for all threads: making one takes longer than a call."""

    def call(self) -> tuple[str | None, Any]:
        """One invocation: the function error, if any, and the payload."""
        answer = self.lambdas.invoke(FunctionName=self.name, Payload=json.dumps({"id": 5}))
        return answer.get("FunctionError"), json.loads(answer["Payload"].read())


@pytest.fixture(scope="module")
def consumer(minted: EmbeddedStack) -> Iterator[Consumer]:
    given = ("VendFunctionArn", "CallerPolicyArn", "TokenClientLayerArn")
    parameters = {name: minted.outputs[name] for name in given}
    parameters["PersonrEndpoint"] = f"{minted.personr.url}{WHOAMI_PATH}"
    outputs = minted.deploy_beside("personr-consumer", str(TEMPLATE), parameters)
    yield Consumer(minted, outputs["ConsumerName"], minted.client("lambda"))
    minted.client("cloudformation").delete_stack(StackName="personr-consumer")


def restore_the_budget(stack: EmbeddedStack) -> None:
    """Write the current token anew without the mints that the callers of other tests have caused: six are an hour's."""
    manager = stack.client("secretsmanager")
    secret = stack.outputs["TokenSecretArn"]
    record = json.loads(manager.get_secret_value(SecretId=secret)["SecretString"])
    manager.put_secret_value(SecretId=secret, SecretString=json.dumps(record | {"caller_mints": []}))


def failed(results: list[tuple[str | None, Any]]) -> list[tuple[str | None, Any]]:
    return [result for result in results if result[0] is not None or result[1]["status"] != HTTPStatus.OK]


def start_every_process(consumer: Consumer, pool: Executor) -> None:
    """A caller waits for a token for 20 seconds. On a busy machine that is what a few starts of functions take, since
    the emulator unpacks the layers for each.
    """
    list(pool.map(lambda _: consumer.stack.refresh({}), range(AT_ONCE)))
    list(pool.map(lambda _: consumer.stack.vend(), range(AT_ONCE)))
    assert failed(list(pool.map(lambda _: consumer.call(), range(AT_ONCE)))) == []


def let_every_process_call(consumer: Consumer, pool: Executor) -> None:
    """Afterwards each of the consumer's processes holds the current token: the API has had all of them waiting at once.

    One that was idle during a kill may otherwise be two tokens behind after the next, since its client serves an old
    copy when the vend function has not answered within 2 seconds (a busy machine). A call repeats its request once.
    """
    personr, turn = consumer.stack.personr, threading.Condition()
    answer = personr._answer_whoami
    for _ in range(MOST_ROUNDS):
        waiting: list[Request] = []
        met: list[bool] = []

        def answer_all_at_once(
            request: Request, waiting: list[Request] = waiting, met: list[bool] = met
        ) -> Response:
            with turn:
                waiting.append(request)
                turn.notify_all()
                met.append(turn.wait_for(lambda: len(waiting) >= AT_ONCE, HELD_SECONDS))
            return answer(request)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(personr, "_answer_whoami", answer_all_at_once)
            assert failed(list(pool.map(lambda _: consumer.call(), range(AT_ONCE)))) == []
        if all(met):
            return
    pytest.fail(f"in {MOST_ROUNDS} rounds the consumer's processes have not met")


def test_two_hundred_calls_while_the_token_is_killed_five_times(consumer: Consumer) -> None:
    stack = consumer.stack
    results: list[tuple[str | None, Any]] = []

    def call(number: int) -> tuple[str | None, Any]:
        if number == KILLED_BEFORE_CALL:
            stack.personr.mint_elsewhere()
        return consumer.call()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        start_every_process(consumer, pool)
        restore_the_budget(stack)
        mints_before = stack.personr.mint_count()
        mint_requests_before = len(stack.personr.mint_requests)
        seen_before = len(stack.personr.seen)
        for _ in range(KILLS):
            # No copy of the vend function's that is as old as this is served unasked.
            time.sleep(stack.vend().payload["cache_seconds"] + 0.25)
            let_every_process_call(consumer, pool)
            results += pool.map(call, range(CALLS_PER_KILL))

    mints = stack.personr.mint_count() - mints_before
    ours = len(stack.personr.mint_requests) - mint_requests_before
    refused = [seen for seen in stack.personr.seen[seen_before:] if seen.status == HTTPStatus.UNAUTHORIZED]
    assert failed(results) == []
    assert len(results) == 200
    assert mints - ours == KILLS, "each kill was a foreign mint, and a mint by nobody's request"
    lines = (json.loads(line) for line in stack.log_lines("refresh") if '"refresh":{' in line)
    reports = [(line["refresh"]["outcome"], line["refresh"]["reason"]) for line in lines]
    assert ours == KILLS, f"one of ours to heal each, and none besides: {reports}"
    assert len(refused) >= KILLS, "each kill was met by a call at least"
