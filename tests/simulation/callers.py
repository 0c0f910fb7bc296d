"""What callers do to a stack, and what it costs the others: scenarios that end in numbers.

Honest callers try their token every five seconds and report to the vend function what does not work. `make
reliability` writes what the tests saw of it into docs/evidence/reliability.md.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.crowd import run_at_once
from tests.simulation.faults import MINT, Call, Fault, Killed, Kind, Weather, fair
from tests.simulation.secrets_manager import MAX_VERSIONS
from tests.simulation.world import EMAIL, TOKEN, World
from token_vending.errors import TokenVendingError
from token_vending.requests import VendRequest

ASKING = timedelta(seconds=5)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
READS = ("GetSecretValue", "DescribeSecret", "ListSecretVersionIds")


def deployed(**options: Any) -> World:
    """A stack with a working token that is an hour old."""
    world = World(**options)
    world.set_credentials("right")
    world.run({"id": "first"})
    world.clock.advance(HOUR)
    return world


def lagging(dice: random.Random, share: float = 0.5) -> Weather:
    """So many of the reads are answered from an older state, if there is one of the last moments."""

    def weather(call: Call) -> Fault | None:
        if call.operation in READS and dice.random() < share:
            return Fault(Kind.STALE, mutations=dice.randint(1, 3))
        return None

    return weather


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a crowd has cost."""

    versions: int
    mints: int
    works: bool


def crowd(size: int, *, seed: int = 0, weather: Weather = fair) -> Crowd:
    """So many callers report one dead version at the same moment."""
    world = deployed()
    world.personr.mint_elsewhere(EMAIL)
    token = world.token()
    assert token is not None
    versions, mints = len(world.secrets.versions(TOKEN)), len(world.personr.sent)
    events = [{"id": f"caller {number}", "rejected_version": token.version} for number in range(size)]
    run_at_once(world, events, seed=seed, weather=weather)
    return Crowd(
        len(world.secrets.versions(TOKEN)) - versions, len(world.personr.sent) - mints, world.token_works()
    )


@dataclass
class Callers:
    """Honest callers of one stack; `weather` befalls the refreshes that they start."""

    world: World
    weather: Weather = fair
    longest_dead: timedelta = timedelta(0)
    dead_since: datetime | None = None
    _version: str | None = None
    _vendor: Any = field(init=False)

    def __post_init__(self) -> None:
        self._vendor = self.world.vendor(cache_for=timedelta(0))

    def ask(self, beside: Callable[[], None] = lambda: None) -> None:
        """Once, and then five seconds pass; `beside` is what others do meanwhile."""
        world, began = self.world, self.world.clock()
        works = world.token_works()
        token = world.token()
        if not works:
            with suppress(TokenVendingError, Killed):
                self._vendor.hand_out(VendRequest(token.version if token is not None else None))
        for event in world.started.events:
            with suppress(TokenVendingError, Killed):
                world.run(event, weather=self.weather)
        world.started.events.clear()
        beside()
        world.clock.advance(max(timedelta(0), began + ASKING - world.clock()))
        if works:
            self.dead_since = None
        else:
            self.dead_since = self.dead_since or began
            self.longest_dead = max(self.longest_dead, world.clock() - self.dead_since)

    def until_it_works(self, at_most: timedelta) -> timedelta:
        """How long they go without a working token from now on."""
        began = self.world.clock()
        while not self.world.token_works():
            self.ask()
            if self.world.clock() - began > at_most:
                break
        return self.world.clock() - began


def after_a_foreign_mint(age: timedelta, *, probe: bool = False, by_callers: int = 0) -> timedelta:
    """How long callers go without a token that was killed at this age. `by_callers`: so many mints of theirs before."""
    world = deployed(probe=probe)
    for _ in range(by_callers):
        world.personr.mint_elsewhere(EMAIL)
        Callers(world).until_it_works(HOUR)
        world.clock.advance(timedelta(minutes=2))
    world.run({"id": "fresh", "force": True})
    world.clock.advance(age)
    world.personr.mint_elsewhere(EMAIL)
    return Callers(world).until_it_works(HOUR)


def after_an_outage(duration: timedelta, kind: Kind, *, lag: bool = False) -> timedelta:
    """How much longer than the outage callers of a dead token go without one."""
    world = deployed()
    world.secrets.longest_lag = timedelta(seconds=3)
    world.personr.mint_elsewhere(EMAIL)
    dice = random.Random(int(duration.total_seconds()))
    late = lagging(dice) if lag else fair
    over = world.clock() + duration

    def weather(call: Call) -> Fault | None:
        if call.operation == MINT and world.clock() < over:
            return Fault(kind)
        return late(call)

    callers = Callers(world, weather)
    while world.clock() < over:
        callers.ask()
    assert len(world.secrets.versions(TOKEN)) < MAX_VERSIONS
    return callers.until_it_works(duration + HOUR)


@dataclass(frozen=True, slots=True)
class Siege:
    """What a day of malice has done, at the worst."""

    mints_an_hour: int
    mints: int
    versions: int
    longest_dead: timedelta


def besieged(attack: Callable[[World, random.Random], None], *, seed: int = 0, hours: int = 24) -> Siege:
    """So many hours with honest callers, and with an attack beside them every five seconds."""
    world = deployed()
    dice = random.Random(seed)
    callers = Callers(world)
    first = len(world.personr.history)
    began = world.clock()
    while world.clock() < began + timedelta(hours=hours):
        callers.ask(lambda: attack(world, dice))
    ours = [mint.at for mint in world.personr.history[first:] if mint.origin == "ours"]
    in_an_hour = [sum(timedelta(0) <= later - at < HOUR for later in ours) for at in ours]
    return Siege(
        max(in_an_hour, default=0), len(ours), len(world.secrets.versions(TOKEN)), callers.longest_dead
    )


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
