"""An outage may last for days; it must not use up what is needed when it is over."""

from contextlib import suppress
from datetime import timedelta

import pytest

from tests.simulation import Call, Fault, Killed, Kind, World
from tests.simulation.faults import MINT
from tests.simulation.secrets_manager import MAX_VERSIONS
from tests.simulation.world import TOKEN
from token_vending.errors import TokenVendingError, VendorUnavailable
from token_vending.history import FREE_FAILURES, LONGEST_PAUSE

TICK = timedelta(minutes=15)
RETRIES = (timedelta(0), timedelta(minutes=1), timedelta(minutes=3))
TICKS_OF_A_DAY = 96


@pytest.fixture
def world() -> World:
    """A stack with right credentials whose token is too old from now on."""
    world = World()
    world.set_credentials("right")
    world.run({"id": "first"})
    world.clock.advance(timedelta(days=22))
    return world


class Outage:
    """One operation fails in one way; counts the versions that are written meanwhile."""

    def __init__(self, world: World, kind: Kind, operation: str = MINT) -> None:
        self.world = world
        self.kind = kind
        self.operation = operation
        self.writes = 0
        self.mints = 0

    def __call__(self, call: Call) -> Fault | None:
        self.writes += call.operation == "PutSecretValue"
        self.mints += call.operation == MINT
        return Fault(self.kind) if call.operation == self.operation else None

    def ticks(self, count: int) -> None:
        """So many ticks that fail, each with what Lambda makes of it: a retry after a minute, and after two more."""
        for number in range(count):
            began = self.world.clock()
            for pause in RETRIES:
                self.world.clock.advance(max(timedelta(0), began + pause - self.world.clock()))
                with suppress(TokenVendingError, Killed):
                    self.world.run({"id": f"tick-{number}"}, weather=self)
            self.world.clock.advance(max(timedelta(0), began + TICK - self.world.clock()))


@pytest.mark.parametrize(
    "kind", [Kind.RATE_LIMITED, Kind.SERVER_ERROR, Kind.WRONG_ADDRESS, Kind.CRASH_BEFORE, Kind.CRASH_AFTER]
)
def test_three_days_of_failures_leave_room_for_the_token(world: World, kind: Kind) -> None:
    outage = Outage(world, kind)
    for _ in range(3):
        outage.ticks(TICKS_OF_A_DAY)
        assert len(world.secrets.versions(TOKEN)) < MAX_VERSIONS
    assert FREE_FAILURES < outage.writes < 3 * MAX_VERSIONS
    world.clock.advance(LONGEST_PAUSE)
    assert world.run({"id": "the outage is over"}).outcome == "refreshed"
    assert world.token_works()


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.LOST, Kind.CRASH_AFTER])
def test_a_day_without_labels_that_can_be_moved_costs_no_token(world: World, kind: Kind) -> None:
    outage = Outage(world, kind, "UpdateSecretVersionStage")
    outage.ticks(TICKS_OF_A_DAY)
    assert world.token_works()
    assert outage.writes == 2


@pytest.mark.parametrize("ticks", [1, 3, 4, 24, 56, 96, 145, 188])
def test_a_tick_renews_within_the_longest_pause_after_an_outage_of_any_length(
    world: World, ticks: int
) -> None:
    outage = Outage(world, Kind.RATE_LIMITED)
    outage.ticks(ticks)
    assert world.token_works()
    old = world.token()
    for number in range(LONGEST_PAUSE // TICK + 1):
        with suppress(VendorUnavailable):
            world.run({"id": f"after {number}"})
        world.clock.advance(TICK)
    assert world.token() != old
    assert world.token_works()


def test_the_first_failures_are_retried_as_soon_as_lambda_does_and_a_success_ends_the_count(
    world: World,
) -> None:
    outage = Outage(world, Kind.WRONG_ADDRESS)
    outage.ticks(3)
    assert outage.mints == 3 * len(RETRIES)
    outage.ticks(20)
    assert outage.mints < 23 * len(RETRIES)
    world.clock.advance(LONGEST_PAUSE)
    assert world.run({"id": "over"}).outcome == "refreshed"
    world.clock.advance(timedelta(days=22))
    before = outage.mints
    outage.ticks(1)
    assert outage.mints == before + len(RETRIES)


def test_waiting_says_for_how_long_and_writes_nothing_and_a_person_need_not(world: World) -> None:
    outage = Outage(world, Kind.WRONG_ADDRESS)
    outage.ticks(4)
    with suppress(TokenVendingError):
        world.run({"id": "tried"}, weather=outage)
    written = outage.writes
    with pytest.raises(VendorUnavailable, match="Nothing was tried") as caught:
        world.run({"id": "too early"}, weather=outage)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= LONGEST_PAUSE.total_seconds()
    assert outage.writes == written
    assert world.run({"id": "a person", "force": True}).outcome == "refreshed"
