"""Callers of one stack, honest ones and others.

Honest callers try their token every five seconds and report to the vend function what does not work.
"""

import heapq
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.clock import SimulatedClock, uncounted
from tests.simulation.faults import Call, Fault, Killed, Kind, Weather, fair
from tests.simulation.world import EMAIL, World
from token_vending.errors import TokenVendingError
from token_vending.requests import VendRequest

ASKING = timedelta(seconds=5)
HOUR = timedelta(hours=1)
READS = ("GetSecretValue", "DescribeSecret", "ListSecretVersionIds")


def deployed(**options: Any) -> World:
    """A stack with a working token that is an hour old."""
    world = World(**options).minted()
    world.clock.advance(HOUR)
    return world


def lagging(seed: int) -> Weather:
    """Half of the reads are answered from an older state, if there is one of the last moments."""
    dice = random.Random(seed)

    def weather(call: Call) -> Fault | None:
        if call.operation in READS and dice.random() < 0.5:
            return Fault(Kind.STALE, mutations=dice.randint(1, 3))
        return None

    return weather


def run_at_once(world: World, events: Sequence[dict[str, Any]], *, seed: int, weather: Weather) -> None:
    """Each run in a process of its own moves in the order of its own time: latencies and pauses of one do not hold
    up another. Pauses are drawn with `seed`. The world's clock ends at the end of the last run.
    """
    dice = random.Random(seed)
    clocks = [SimulatedClock(world.clock()) for _ in events]
    runs = []
    for clock, event in zip(clocks, events, strict=True):
        process = world.refresh_process(clock=clock, jitter=dice.uniform)
        runs.append(world.begin(event, process=process, weather=weather))
    waiting = [(clock(), number) for number, clock in enumerate(clocks)]
    while waiting:
        number = waiting[0][1]
        runs[number].step()
        if runs[number].done:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (clocks[number](), number))
    world.clock.advance(max(clock() for clock in clocks) - world.clock())


class Callers:
    """Honest callers of one stack; `weather` befalls the refreshes that they start."""

    def __init__(self, world: World, weather: Weather = fair) -> None:
        self.world = world
        self.weather = weather
        self.longest_dead = timedelta(0)
        self._dead_since: datetime | None = None
        self._vendor = world.vendor(cache_for=timedelta(0))

    def ask(self, beside: Callable[[], None] = lambda: None) -> None:
        """Once, and then five seconds pass; `beside` is what others do meanwhile."""
        world, began = self.world, self.world.clock()
        works = world.token_works()
        if not works:
            token = world.token()
            with suppress(TokenVendingError, Killed):
                self._vendor.hand_out(VendRequest(token.version if token is not None else None))
        for event in world.started.taken():
            with suppress(TokenVendingError, Killed):
                world.run(event, weather=self.weather)
        beside()
        world.clock.advance(max(timedelta(0), began + ASKING - world.clock()))
        if works:
            self._dead_since = None
        else:
            self._dead_since = self._dead_since or began
            self.longest_dead = max(self.longest_dead, world.clock() - self._dead_since)

    @uncounted()
    def ask_for(self, duration: timedelta, beside: Callable[[], None] = lambda: None) -> None:
        """As long as this."""
        ends = self.world.clock() + duration
        while self.world.clock() < ends:
            self.ask(beside)

    @uncounted()
    def until_it_works(self, at_most: timedelta) -> timedelta:
        """How long they go without a working token from now on."""
        began = self.world.clock()
        while not self.world.token_works() and self.world.clock() - began <= at_most:
            self.ask()
        return self.world.clock() - began


def rejecting(world: World, dice: random.Random) -> None:
    """A caller reports every version it gets, at once."""
    del dice
    _send(world, {})


def wishing(world: World, dice: random.Random) -> None:
    """A caller alternates reports and wishes for a longer life."""
    _send(world, {"force": True} if dice.random() < 0.5 else {})


def signing_in(world: World, dice: random.Random) -> None:
    """Somebody else mints with our account, now and then."""
    if dice.random() < 1 / 60:
        world.personr.mint_elsewhere(EMAIL)


def fighting_back(world: World, dice: random.Random) -> None:
    """Somebody else mints with our account as soon as ours has."""
    del dice
    if world.token_works():
        world.personr.mint_elsewhere(EMAIL)


def everything(world: World, dice: random.Random) -> None:
    """Whatever comes to mind."""
    dice.choice((rejecting, wishing, signing_in, fighting_back, lambda *_: None, lambda *_: None))(
        world, dice
    )


def waiting_for_quiet(world: World, dice: random.Random) -> None:
    """A caller that spends the budget in bursts, a few hours apart."""
    if (world.clock().hour % 5) < 1:
        wishing(world, dice)


ATTACKS = (rejecting, wishing, signing_in, fighting_back, everything, waiting_for_quiet)


def _send(world: World, more: dict[str, Any]) -> None:
    token = world.token()
    if token is not None:
        with suppress(TokenVendingError):
            world.run({"rejected_version": token.version, **more})
