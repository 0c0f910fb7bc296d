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
    after_a_foreign_mint,
    after_an_outage,
    besieged,
    crowd,
    deployed,
    everything,
    fighting_back,
    lagging,
    signing_in,
)
from tests.simulation.faults import MINT, Fault, Kind
from tests.simulation.secrets_manager import MAX_VERSIONS
from tests.simulation.world import EMAIL
from token_vending.history import CALLERS_LEAVE

pytestmark = pytest.mark.slow

SECONDS_TO_HEAL = 10
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def up_to(duration: timedelta, most: timedelta) -> Observed:
    """Whole seconds; the simulation is the same each time."""
    return seen(round(duration.total_seconds()), *range(round(most.total_seconds()) + 1))


@pytest.mark.parametrize("size", [10, 50, 200, 1000])
def test_a_crowd_of_any_size_writes_one_intent_and_one_token(size: int, record_property: Record) -> None:
    crowds = [
        crowd(size, seed=seed, weather=weather)
        for seed in range(max(1, 100 // size))
        for weather in (lambda _: None, lagging(random.Random(seed)))
    ]
    assert all(one.works for one in crowds)
    versions, mints = {one.versions for one in crowds}, {one.mints for one in crowds}
    assert len(versions) == len(mints) == 1
    case = {"size": size, "simulations": len(crowds)}
    note(record_property, "crowd", case, versions=seen(versions.pop(), 2), mints=seen(mints.pop(), 1))


@pytest.mark.parametrize(
    ("age_seconds", "probe", "by_callers"),
    [
        (5, False, 0),
        (5, True, 0),
        (70, False, 0),
        (70, False, 2),
        (300, False, 0),
        (1200, False, 0),
    ],
)
def test_callers_go_on_in_seconds_after_a_foreign_sign_in(
    age_seconds: int, *, probe: bool, by_callers: int, record_property: Record
) -> None:
    dead = after_a_foreign_mint(timedelta(seconds=age_seconds), probe=probe, by_callers=by_callers)
    young = 0 if probe else max(0, 60 - age_seconds)
    without = up_to(dead, (young + SECONDS_TO_HEAL) * SECOND)
    case = {"age_seconds": age_seconds, "probe": probe, "earlier_mints_for_callers": by_callers}
    note(record_property, "sign-in", case, seconds_without_a_token=without)


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.SERVER_ERROR, Kind.UNREADABLE, Kind.WRONG_ADDRESS])
@pytest.mark.parametrize("minutes", [2, 10, 30, 60, 360])
def test_an_outage_with_a_dead_token_costs_callers_a_tenth_more_or_a_minute(
    minutes: int, kind: Kind, record_property: Record
) -> None:
    outage = timedelta(minutes=minutes)
    more = max(after_an_outage(outage, kind), after_an_outage(outage, kind, lag=True))
    case = {"minutes": minutes, "vendor": kind.value}
    note(record_property, "outage", case, seconds_more=up_to(more, max(MINUTE, outage / 10)))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_day_of_malice_stays_within_the_budget(attack: object, record_property: Record) -> None:
    siege = besieged(attack)  # type: ignore[arg-type]
    # Nobody can win against somebody who signs in again as soon as we have.
    longest = timedelta(days=1) if attack in (fighting_back, everything) else HOUR + SECONDS_TO_HEAL * SECOND
    note(
        record_property,
        "siege",
        {"attack": (attack.__doc__ or "").partition("\n")[0].rstrip(".")},
        mints_in_the_worst_hour=seen(siege.mints_an_hour, *range(1, 7)),
        mints=seen(siege.mints, *range(1, 31)),
        versions=seen(siege.versions, *range(MAX_VERSIONS - CALLERS_LEAVE + 1)),
        longest_without_a_token_seconds=up_to(siege.longest_dead, longest),
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
        ends = world.clock() + 3 * HOUR
        while world.clock() < ends:
            callers.ask()
        down = False
        assert callers.until_it_works(timedelta(days=1)) <= HOUR + SECONDS_TO_HEAL * SECOND
        world.clock.advance(10 * MINUTE)
    assert world.run({"id": "a person", "force": True}).outcome == "refreshed"


def test_foreign_sign_ins_every_twenty_minutes_for_eight_hours_end_with_the_foreigner() -> None:
    """The secret filled up after five hours, and the token came back 18 hours after the last sign-in."""
    world = deployed()
    callers = Callers(world)
    for _ in range(24):
        world.personr.mint_elsewhere(EMAIL)
        ends = world.clock() + timedelta(minutes=20)
        while world.clock() < ends:
            callers.ask()
    assert callers.until_it_works(timedelta(days=1)) <= HOUR
    assert signing_in in ATTACKS
