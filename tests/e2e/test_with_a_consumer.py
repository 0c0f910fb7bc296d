"""The example consumer, deployed beside the stack: a killed token costs its user nothing but time."""

import json
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.kit.personr import WHOAMI_PATH
from tests.kit.stack import EmbeddedStack

TEMPLATE = Path(__file__).parents[2] / "examples" / "consumer" / "template.yaml"
CALLS = 40
# Some calls are under way then.
KILLED_BEFORE_CALL = 10
AT_ONCE = 4

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


def failed(results: list[tuple[str | None, Any]]) -> list[tuple[str | None, Any]]:
    return [result for result in results if result[0] is not None or result[1]["status"] != HTTPStatus.OK]


def start_every_process(consumer: Consumer, pool: Executor) -> None:
    """A caller waits for a token for 20 seconds. On a busy machine that is what a few starts of functions take, since
    the emulator unpacks the layers for each.
    """
    list(pool.map(lambda _: consumer.stack.refresh({}), range(AT_ONCE)))
    list(pool.map(lambda _: consumer.stack.vend(), range(AT_ONCE)))
    assert failed(list(pool.map(lambda _: consumer.call(), range(AT_ONCE)))) == []


def test_no_call_fails_while_the_token_is_killed_and_one_mint_heals_it(consumer: Consumer) -> None:
    stack = consumer.stack

    def call(number: int) -> tuple[str | None, Any]:
        if number == KILLED_BEFORE_CALL:
            stack.personr.mint_elsewhere()
        return consumer.call()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        start_every_process(consumer, pool)
        mints, ours = stack.personr.mint_count(), len(stack.personr.mint_requests)
        seen_before = len(stack.personr.seen)
        results = list(pool.map(call, range(CALLS)))

    refused = [seen for seen in stack.personr.seen[seen_before:] if seen.status == HTTPStatus.UNAUTHORIZED]
    assert failed(results) == []
    assert refused, "the kill was met by a call"
    assert (stack.personr.mint_count() - mints, len(stack.personr.mint_requests) - ours) == (2, 1)
