"""An outage may last for days; it must not use up what is needed when it is over."""

from contextlib import suppress
from datetime import timedelta

import pytest

from tests.simulation import EMAIL, Call, Fault, Killed, Kind, Puts, World
from tests.simulation.faults import MINT
from token_vending.errors import TokenVendingError, VendorUnavailable
from token_vending.history import FREE_FAILURES, LONGEST_PAUSE

MINUTE = timedelta(minutes=1)
TICK = 15 * MINUTE
RETRIES = (timedelta(0), timedelta(minutes=1), timedelta(minutes=3))
TWO_DAYS_OF_TICKS = 2 * 24 * 4
MOST_WRITES = 2 * 24 * 3 + 20
"""One in twenty minutes, and a few at the beginning: in no day 100."""


@pytest.fixture
def young() -> World:
    """A stack with right credentials and a token of a day."""
    world = World()
    world.set_credentials("right")
    world.run({"id": "first"})
    world.clock.advance(timedelta(days=1))
    return world


@pytest.fixture
def world(young: World) -> World:
    """The same when its token is too old from now on."""
    young.clock.advance(timedelta(days=21))
    return young


@pytest.fixture
def dead(young: World) -> World:
    """The same when somebody else's mint has just killed its token."""
    young.personr.mint_elsewhere(EMAIL)
    return young


def report(world: World) -> dict[str, str]:
    """What a caller's rejection of the current token starts."""
    token = world.token()
    assert token is not None
    return {"rejected_version": token.version}


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

    def tick(self, number: int) -> None:
        """A tick that fails, and what Lambda makes of it: a retry after a minute, and after two more."""
        began = self.world.clock()
        for pause in RETRIES:
            self.world.clock.advance(max(timedelta(0), began + pause - self.world.clock()))
            with suppress(TokenVendingError, Killed):
                self.world.run({"id": f"tick-{number}"}, weather=self)
        self.world.clock.advance(max(timedelta(0), began + TICK - self.world.clock()))


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (MINT, Kind.RATE_LIMITED),
        (MINT, Kind.SERVER_ERROR),
        (MINT, Kind.WRONG_ADDRESS),
        (MINT, Kind.CRASH_BEFORE),
        (MINT, Kind.CRASH_AFTER),
        ("UpdateSecretVersionStage", Kind.DENIED),
        ("UpdateSecretVersionStage", Kind.THROTTLED),
        ("UpdateSecretVersionStage", Kind.UNREACHED),
        ("UpdateSecretVersionStage", Kind.LOST),
        ("UpdateSecretVersionStage", Kind.CRASH_BEFORE),
        ("UpdateSecretVersionStage", Kind.CRASH_AFTER),
    ],
)
def test_two_days_of_failures_write_no_more_than_is_pruned(world: World, operation: str, kind: Kind) -> None:
    outage = Outage(world, kind, operation)
    for number in range(TWO_DAYS_OF_TICKS):
        outage.tick(number)
    assert 10 < outage.writes <= MOST_WRITES
    assert world.run({"id": "the outage is over"}).outcome == "refreshed"
    assert world.token_works()


@pytest.mark.parametrize("ticks", [1, 3, 4, 24, 25, 56, 73, 92, 96, 97, 120, 145, 188])
def test_after_an_outage_of_any_length_the_second_tick_has_renewed(world: World, ticks: int) -> None:
    """Of those that the outage turned away, an odd number leaves the next one within the pause."""
    outage = Outage(world, Kind.RATE_LIMITED)
    for number in range(ticks):
        outage.tick(number)
    old = world.token()
    began = world.clock()
    with suppress(VendorUnavailable):
        world.run({"id": "the first tick after it"})
    if world.token() == old:
        assert world.token_works()
        world.clock.advance(began + TICK - world.clock())
        world.run({"id": "the second"})
    assert world.token() != old
    assert world.token_works()


@pytest.mark.parametrize("hours", [10, 14, 16, 18, 23, 24, 26, 30, 42])
def test_callers_of_a_dead_token_wait_for_the_pause_and_no_longer(dead: World, hours: int) -> None:
    """The vendor was down for so long, and callers reported the token all the time. They never wait for the
    secret's quota of versions.
    """
    outage = Outage(dead, Kind.RATE_LIMITED)
    for _ in range(hours * 30):
        with suppress(TokenVendingError):
            dead.run(report(dead), weather=outage)
        dead.clock.advance(2 * MINUTE)
    assert waited_for_a_token(dead, asking_every=MINUTE) <= LONGEST_PAUSE + MINUTE


def test_a_short_outage_of_the_vendor_costs_callers_a_short_pause(dead: World) -> None:
    """Callers that report a dead token every two seconds use up the free tries at once."""
    outage = Outage(dead, Kind.RATE_LIMITED)
    began = dead.clock()
    while dead.clock() < began + 2 * MINUTE:
        with suppress(TokenVendingError):
            dead.run(report(dead), weather=outage)
        dead.clock.advance(timedelta(seconds=2))
    assert outage.writes >= FREE_FAILURES
    assert waited_for_a_token(dead, asking_every=timedelta(seconds=2)) <= 2 * MINUTE


def waited_for_a_token(world: World, asking_every: timedelta) -> timedelta:
    began = world.clock()
    while not world.token_works():
        with suppress(TokenVendingError):
            world.run(report(world))
        world.clock.advance(asking_every)
    return world.clock() - began


def test_the_first_failures_are_retried_as_soon_as_lambda_does(world: World) -> None:
    outage = Outage(world, Kind.WRONG_ADDRESS)
    for number in range(3):
        outage.tick(number)
    assert outage.mints == 3 * len(RETRIES)


def test_a_success_ends_the_count(world: World) -> None:
    outage = Outage(world, Kind.WRONG_ADDRESS)
    for number in range(20):
        outage.tick(number)
    assert world.run({"id": "over"}).outcome == "refreshed"
    world.clock.advance(timedelta(days=22))
    before = outage.mints
    outage.tick(99)
    assert outage.mints == before + len(RETRIES)


def test_waiting_says_for_how_long_and_writes_nothing(world: World) -> None:
    outage = Outage(world, Kind.WRONG_ADDRESS)
    for number in range(4):
        outage.tick(number)
    with suppress(TokenVendingError):
        world.run({"id": "tried"}, weather=outage)
    written = outage.writes
    with pytest.raises(VendorUnavailable, match="Nothing was tried") as caught:
        world.run({"id": "too early"}, weather=outage)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= LONGEST_PAUSE.total_seconds()
    assert outage.writes == written


def test_a_person_does_not_wait(world: World) -> None:
    outage = Outage(world, Kind.WRONG_ADDRESS)
    for number in range(20):
        outage.tick(number)
    with suppress(TokenVendingError):
        world.run({"id": "tried"}, weather=outage)
    assert world.run({"id": "a person", "force": True}).outcome == "refreshed"


def test_callers_that_ask_every_two_seconds_write_no_more_either(world: World) -> None:
    outage = Outage(world, Kind.DENIED, "UpdateSecretVersionStage")
    for _ in range(300):
        with suppress(TokenVendingError):
            world.run(report(world), weather=outage)
        world.clock.advance(timedelta(seconds=2))
    assert outage.writes <= 14


def test_a_token_in_hand_is_stored_without_waiting(world: World) -> None:
    outage = Outage(world, Kind.WRONG_ADDRESS)
    for number in range(20):
        outage.tick(number)
    process = world.refresh_process()
    only_the_intent = Puts(None, Kind.THROTTLED)
    with suppress(TokenVendingError):
        world.run({"id": "minted, not stored"}, process=process, weather=only_the_intent)
    assert not world.token_works()
    assert world.run({"id": "the retry"}, process=process).outcome == "refreshed"
    assert world.token_works()
