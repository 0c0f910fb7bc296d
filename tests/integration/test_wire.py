"""The fault proxy counts, holds, drops and breaks calls as told."""

import threading
from collections.abc import Iterator

import pytest
import urllib3

from tests.kit.stand_ins import faults
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response
from tests.kit.stand_ins.wire import Wire


class Counter(LoopbackServer):
    """Counts what took effect."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[str] = []

    def handle(self, request: Request) -> Response:
        self.effects.append(request.path)
        return Response(200, b"done")


@pytest.fixture
def upstream() -> Iterator[Counter]:
    with Counter() as server:
        yield server


@pytest.fixture
def wire(upstream: Counter) -> Iterator[Wire]:
    with Wire({"counter": upstream.url}) as proxy:
        yield proxy


def call(wire: Wire, path: str = "/x", timeout: float = 5) -> int:
    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        return pool.request("GET", wire.url("counter") + path).status


@pytest.mark.parametrize(
    ("fault", "effects"),
    [(faults.reset_before(), 0), (faults.reset_after(), 1), (faults.hang(), 0), (faults.hang_after(), 1)],
    ids=lambda value: value.name if isinstance(value, faults.Fault) else str(value),
)
def test_an_answer_can_be_lost_before_or_after_the_effect(
    wire: Wire, upstream: Counter, fault: faults.Fault, effects: int
) -> None:
    wire.inject(fault, operation="GET /x", nth=2)
    assert call(wire) == 200
    with pytest.raises(urllib3.exceptions.HTTPError):
        call(wire, timeout=0.3)
    assert len(upstream.effects) == 1 + effects
    assert call(wire) == 200


@pytest.mark.parametrize("forwarded", [True, False])
def test_a_held_call_is_forwarded_or_dropped_on_demand(
    wire: Wire, upstream: Counter, *, forwarded: bool
) -> None:
    fault, hold = faults.hold_before()
    wire.inject(fault, index=2)
    call(wire)
    outcome: list[object] = []

    def attempt() -> None:
        try:
            outcome.append(call(wire))
        except urllib3.exceptions.HTTPError as exc:
            outcome.append(exc)

    thread = threading.Thread(target=attempt)
    thread.start()
    assert hold.wait()
    assert len(upstream.effects) == 1
    if forwarded:
        hold.forward()
    else:
        hold.drop()
    thread.join(60)
    assert (outcome[0] == 200) is forwarded
    assert len(upstream.effects) == 1 + forwarded
