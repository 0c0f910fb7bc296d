"""An outage may last for days; it must not use up what is needed when it is over."""

from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from tests.simulation.clock import uncounted
from tests.simulation.faults import MINT, Call, Fault, Killed, Kind
from tests.simulation.secrets_manager import MAX_VERSIONS
from tests.simulation.world import TOKEN, World
from token_vending.errors import TokenVendingError, VendorUnavailable
from token_vending.history import FREE_FAILURES, LONGEST_PAUSE

TICK = timedelta(minutes=15)
RETRIES = (timedelta(0), timedelta(minutes=1), timedelta(minutes=3))
TICKS_OF_A_DAY = 96


class Outage:
    """A stack whose token is too old from now on, and one operation that fails in one way.

    Counts the versions that are written and the mints that are tried meanwhile.
    """

    def __init__(self, kind: Kind, operation: str = MINT) -> None:
        self.world = World().minted()
        self.world.clock.advance(timedelta(days=22))
        self.kind = kind
        self.operation = operation
        self.writes = 0
        self.mints = 0

    def __call__(self, call: Call) -> Fault | None:
        self.writes += call.operation == "PutSecretValue"
        self.mints += call.operation == MINT
        return Fault(self.kind) if call.operation == self.operation else None

    @uncounted()
    def ticks(self, count: int) -> None:
        """So many ticks that fail, each with what Lambda makes of it: a retry after a minute, and after two more."""
        for number in range(count):
            began = self.world.clock()
            for pause in RETRIES:
                self._wait_until(began + pause)
                with suppress(TokenVendingError, Killed):
                    self.world.run({"id": f"tick-{number}"}, weather=self)
            self._wait_until(began + TICK)

    def ends_well(self) -> None:
        """After the longest pause."""
        self.world.clock.advance(LONGEST_PAUSE)
        assert self.world.run({"id": "over"}).outcome == "refreshed"
        assert self.world.token_works()

    def _wait_until(self, moment: datetime) -> None:
        self.world.clock.advance(max(timedelta(0), moment - self.world.clock()))


@pytest.mark.parametrize(
    "kind", [Kind.RATE_LIMITED, Kind.SERVER_ERROR, Kind.WRONG_ADDRESS, Kind.CRASH_BEFORE, Kind.CRASH_AFTER]
)
def test_three_days_of_failures_leave_room_for_the_token(kind: Kind) -> None:
    outage = Outage(kind)
    for _ in range(3):
        outage.ticks(TICKS_OF_A_DAY)
        assert len(outage.world.secrets.versions(TOKEN)) < MAX_VERSIONS
    assert FREE_FAILURES < outage.writes < 3 * MAX_VERSIONS
    outage.ends_well()


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.LOST, Kind.CRASH_AFTER])
def test_a_day_without_labels_that_can_be_moved_costs_no_token(kind: Kind) -> None:
    outage = Outage(kind, "UpdateSecretVersionStage")
    outage.ticks(TICKS_OF_A_DAY)
    assert outage.world.token_works()
    assert outage.writes == 2


@pytest.mark.parametrize("ticks", [1, 3, 4, 24, 56, 96, 145, 188])
def test_a_tick_renews_within_the_longest_pause_after_an_outage_of_any_length(ticks: int) -> None:
    outage = Outage(Kind.RATE_LIMITED)
    outage.ticks(ticks)
    assert outage.world.token_works()
    old = outage.world.token()
    for number in range(LONGEST_PAUSE // TICK + 1):
        with suppress(VendorUnavailable):
            outage.world.run({"id": f"after {number}"})
        outage.world.clock.advance(TICK)
    assert outage.world.token() != old
    assert outage.world.token_works()


def test_the_first_failures_are_retried_as_soon_as_lambda_does_and_a_success_ends_the_count() -> None:
    outage = Outage(Kind.WRONG_ADDRESS)
    outage.ticks(3)
    assert outage.mints == 3 * len(RETRIES)
    outage.ticks(20)
    assert outage.mints < 23 * len(RETRIES)
    outage.ends_well()
    outage.world.clock.advance(timedelta(days=22))
    before = outage.mints
    outage.ticks(1)
    assert outage.mints == before + len(RETRIES)
