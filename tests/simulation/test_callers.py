"""No caller can hurt the others, whatever it sends and however many there are.

docs/evidence/reliability.md has the numbers.
"""

import random
from datetime import timedelta

import pytest

from tests.integration.records import Observed, Record, note, seen
from tests.simulation.callers import (
    ATTACKS,
    HOUR,
    Callers,
    deployed,
    everything,
    fighting_back,
    lagging,
    run_at_once,
)
from tests.simulation.faults import MINT, Call, Fault, Kind, Weather, fair
from tests.simulation.secrets_manager import MAX_VERSIONS
from tests.simulation.world import EMAIL, TOKEN
from token_vending.history import CALLERS_LEAVE

pytestmark = pytest.mark.slow

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
TIME_TO_HEAL = 10 * SECOND


def up_to(duration: timedelta, most: timedelta) -> Observed:
    """Whole seconds; the simulation is the same each time."""
    return seen(round(duration.total_seconds()), *range(round(most.total_seconds()) + 1))


def crowd(size: int, seed: int, weather: Weather) -> tuple[int, int]:
    """So many callers report one dead version at the same moment: versions written, mints sent."""
    world = deployed()
    world.personr.mint_elsewhere(EMAIL)
    version = world.stored().version
    versions, mints = len(world.secrets.versions(TOKEN)), len(world.personr.sent)
    events = [{"id": f"caller {number}", "rejected_version": version} for number in range(size)]
    run_at_once(world, events, seed=seed, weather=weather)
    assert world.token_works()
    return len(world.secrets.versions(TOKEN)) - versions, len(world.personr.sent) - mints


@pytest.mark.parametrize("size", [10, 50, 200, 1000])
def test_a_crowd_of_any_size_writes_one_intent_and_one_token(size: int, record_property: Record) -> None:
    crowds = [
        crowd(size, seed, weather) for seed in range(max(1, 100 // size)) for weather in (fair, lagging(seed))
    ]
    assert len(set(crowds)) == 1
    versions, mints = crowds[0]
    case = {"size": size, "simulations": len(crowds)}
    note(record_property, "crowd", case, versions=seen(versions, 2), mints=seen(mints, 1))


@pytest.mark.parametrize(
    ("age_seconds", "probe", "by_callers"),
    [(5, False, 0), (5, True, 0), (70, False, 0), (70, False, 2), (300, False, 0), (1200, False, 0)],
)
def test_callers_go_on_in_seconds_after_a_foreign_sign_in(
    age_seconds: int, *, probe: bool, by_callers: int, record_property: Record
) -> None:
    world = deployed(probe=probe)
    for _ in range(by_callers):
        world.personr.mint_elsewhere(EMAIL)
        Callers(world).until_it_works(HOUR)
        world.clock.advance(2 * MINUTE)
    world.run({"id": "fresh", "force": True})
    world.clock.advance(age_seconds * SECOND)
    world.personr.mint_elsewhere(EMAIL)
    dead = Callers(world).until_it_works(HOUR)
    young = timedelta(0) if probe else max(timedelta(0), MINUTE - age_seconds * SECOND)
    case = {"age_seconds": age_seconds, "probe": probe, "earlier_mints_for_callers": by_callers}
    note(record_property, "sign-in", case, seconds_without_a_token=up_to(dead, young + TIME_TO_HEAL))


def after_an_outage(duration: timedelta, kind: Kind, late: Weather) -> timedelta:
    """How much longer than the outage callers of a dead token go without one."""
    world = deployed()
    world.secrets.longest_lag = 3 * SECOND
    world.personr.mint_elsewhere(EMAIL)
    over = world.clock() + duration

    def weather(call: Call) -> Fault | None:
        return Fault(kind) if call.operation == MINT and world.clock() < over else late(call)

    callers = Callers(world, weather)
    callers.ask_for(duration)
    assert len(world.secrets.versions(TOKEN)) < MAX_VERSIONS
    return callers.until_it_works(duration + HOUR)


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.SERVER_ERROR, Kind.UNREADABLE, Kind.WRONG_ADDRESS])
@pytest.mark.parametrize("minutes", [2, 10, 30, 60, 360])
def test_an_outage_with_a_dead_token_costs_callers_a_tenth_more_or_a_minute(
    minutes: int, kind: Kind, record_property: Record
) -> None:
    outage = timedelta(minutes=minutes)
    more = max(after_an_outage(outage, kind, late) for late in (fair, lagging(60 * minutes)))
    case = {"minutes": minutes, "vendor": kind.value}
    note(record_property, "outage", case, seconds_more=up_to(more, max(MINUTE, outage / 10)))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_day_of_malice_stays_within_the_budget(attack: object, record_property: Record) -> None:
    world, dice = deployed(), random.Random(0)
    callers, first = Callers(world), len(world.personr.history)
    callers.ask_for(DAY, lambda: attack(world, dice))  # type: ignore[operator]
    ours = [mint.at for mint in world.personr.history[first:] if mint.origin == "ours"]
    # Nobody can win against somebody who signs in again as soon as we have.
    longest = DAY if attack in (fighting_back, everything) else HOUR + TIME_TO_HEAL
    note(
        record_property,
        "siege",
        {"attack": (attack.__doc__ or "").partition("\n")[0].rstrip(".")},
        mints_in_the_worst_hour=seen(
            max(sum(timedelta(0) <= later - at < HOUR for later in ours) for at in ours), *range(1, 7)
        ),
        mints=seen(len(ours), *range(1, 31)),
        versions=seen(len(world.secrets.versions(TOKEN)), *range(MAX_VERSIONS - CALLERS_LEAVE + 1)),
        longest_without_a_token_seconds=up_to(callers.longest_dead, longest),
    )


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.UNREADABLE])
def test_two_outages_of_three_hours_end_with_a_token_within_the_hour(kind: Kind) -> None:
    """The second one used up the versions of the day, and a dead token stayed for 17 hours after it."""
    world = deployed()
    down = True
    callers = Callers(world, lambda call: Fault(kind) if down and call.operation == MINT else None)
    for _ in range(2):
        down = True
        world.personr.mint_elsewhere(EMAIL)
        callers.ask_for(3 * HOUR)
        down = False
        assert callers.until_it_works(DAY) <= HOUR + TIME_TO_HEAL
        world.clock.advance(10 * MINUTE)
    assert world.run({"id": "a person", "force": True}).outcome == "refreshed"


def test_foreign_sign_ins_every_twenty_minutes_for_eight_hours_end_with_the_foreigner() -> None:
    """The secret filled up after five hours, and the token came back 18 hours after the last sign-in."""
    world = deployed()
    callers = Callers(world)
    for _ in range(24):
        world.personr.mint_elsewhere(EMAIL)
        callers.ask_for(20 * MINUTE)
    assert callers.until_it_works(DAY) <= HOUR
