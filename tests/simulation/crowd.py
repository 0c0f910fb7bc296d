"""Runs that are started at one moment, each in an environment of its own, on one time line."""

import heapq
import random
from collections.abc import Sequence
from typing import Any

from tests.simulation.clock import SimulatedClock
from tests.simulation.faults import Weather, fair
from tests.simulation.process import SteppedRun
from tests.simulation.world import World


def run_at_once(
    world: World, events: Sequence[dict[str, Any]], *, seed: int, weather: Weather = fair
) -> list[SteppedRun]:
    """Lets every run move in the order of its own time: latencies and pauses of one do not hold up another.

    Pauses are drawn with `seed`. The world's clock ends at the end of the last run.
    """
    dice = random.Random(seed)
    clocks = [SimulatedClock(world.clock()) for _ in events]
    runs = []
    for clock, event in zip(clocks, events, strict=True):
        process = world.refresh_process(clock=clock, jitter=dice.uniform)
        runs.append(world.begin(event, process=process, weather=weather))
    waiting = [(clock(), number) for number, clock in enumerate(clocks)]
    heapq.heapify(waiting)
    while waiting:
        _, number = heapq.heappop(waiting)
        runs[number].step()
        if not runs[number].done:
            heapq.heappush(waiting, (clocks[number](), number))
    world.clock.advance(max(clock() for clock in clocks) - world.clock())
    return runs
