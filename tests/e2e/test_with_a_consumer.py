"""The example consumer, deployed beside the stack: a killed token costs its user nothing but time."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.kit.personr import WHOAMI_PATH
from tests.kit.stack import EmbeddedStack

TEMPLATE = Path(__file__).parents[2] / "examples" / "consumer" / "template.yaml"
CALLS = 200
KILLED_BEFORE_CALL = {20, 60, 100, 140, 180}
AT_ONCE = 4
CACHE_SECONDS = 2

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
    minted.deploy({"CacheSeconds": str(CACHE_SECONDS)})
    outputs = minted.deploy_beside("personr-consumer", str(TEMPLATE), parameters)
    yield Consumer(minted, outputs["ConsumerName"], minted.client("lambda"))
    minted.client("cloudformation").delete_stack(StackName="personr-consumer")
    minted.deploy({"CacheSeconds": "60"})


def restore_the_budget(stack: EmbeddedStack) -> None:
    """Write the current token anew without the mints that the callers of other tests have caused: six are an hour's."""
    manager = stack.client("secretsmanager")
    secret = stack.outputs["TokenSecretArn"]
    record = json.loads(manager.get_secret_value(SecretId=secret)["SecretString"])
    manager.put_secret_value(SecretId=secret, SecretString=json.dumps(record | {"caller_mints": []}))


def test_a_consumer_gets_its_answer(consumer: Consumer) -> None:
    error, payload = consumer.call()

    assert (error, payload["status"]) == (None, 200)
    assert payload["body"]["status"] == "success"


def test_two_hundred_calls_while_the_token_is_killed_five_times(consumer: Consumer) -> None:
    stack = consumer.stack
    restore_the_budget(stack)
    mints_before = stack.personr.mint_count()
    mint_requests_before = len(stack.personr.mint_requests)
    seen_before = len(stack.personr.seen)
    turn = threading.Condition()
    begun = kills = 0
    under_way: set[int] = set()

    def begin() -> int:
        nonlocal begun, kills
        with turn:
            begun += 1
            number = begun
            if number in KILLED_BEFORE_CALL:
                # A call repeats its request once. One that is still being healed of the kill before, however
                # slow this machine is, must not have its second token killed too; others may be under way.
                assert turn.wait_for(
                    lambda: min(under_way, default=number) > number - 2 * AT_ONCE, timeout=60
                )
                # An idle consumer that kept a copy over two kills would be two versions behind.
                time.sleep(CACHE_SECONDS + 0.5)
                stack.personr.mint_elsewhere()
                kills += 1
            under_way.add(number)
        return number

    def call(_number: int) -> tuple[str | None, Any]:
        number = begin()
        try:
            return consumer.call()
        finally:
            with turn:
                under_way.remove(number)
                turn.notify_all()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(call, range(CALLS)))

    failed = [result for result in results if result[0] is not None or result[1]["status"] != 200]
    mints = stack.personr.mint_count() - mints_before
    ours = len(stack.personr.mint_requests) - mint_requests_before
    refused = [seen for seen in stack.personr.seen[seen_before:] if seen.status == HTTPStatus.UNAUTHORIZED]
    assert failed == []
    assert kills == len(KILLED_BEFORE_CALL)
    assert mints - ours == kills, "each kill was a foreign mint, and a mint by nobody's request"
    lines = (json.loads(line) for line in stack.log_lines("refresh") if '"refresh":{' in line)
    reports = [(line["refresh"]["outcome"], line["refresh"]["reason"]) for line in lines]
    assert ours == kills, f"one of ours to heal each, and none besides: {reports}"
    assert len(refused) >= kills, "each kill was met by a call at least"
