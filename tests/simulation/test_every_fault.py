"""Every fault at every call of a run, and every pair of one in a run and one in the run that mends it."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.simulation.faults import AWS_KINDS, MINT, VENDOR_KINDS, Call, Fault, Killed, Kind, Weather
from tests.simulation.world import World
from token_vending.due import LEASE
from token_vending.errors import TokenVendingError

LONGEST_RUN = 11
"""Calls: a take-over reads the intent that the lock lies on, and two accounts read one secret more."""
ALL_KINDS = sorted({*AWS_KINDS, *VENDOR_KINDS})
WORST = {
    "aws": (Kind.CRASH_BEFORE, Kind.CRASH_AFTER, Kind.LOST, Kind.REPLAYED, Kind.THROTTLED),
    "vendor": (Kind.CRASH_BEFORE, Kind.CRASH_AFTER, Kind.LOST, Kind.CRASH_LATE, Kind.UNREADABLE),
}


def at(index: int, kind: Kind) -> Weather:
    """The fault befalls the call of this index, if it is a kind for that call."""

    def weather(call: Call) -> Fault | None:
        fits = kind in (VENDOR_KINDS if call.operation == MINT else AWS_KINDS)
        return Fault(kind, seconds=120.0) if call.index == index and fits else None

    return weather


def worst_at(index: int, number: int) -> Weather:
    """The fault of this number among the worst of its kind befalls the call of this index."""

    def weather(call: Call) -> Fault | None:
        kinds = WORST["vendor" if call.operation == MINT else "aws"]
        return Fault(kinds[number], seconds=120.0) if call.index == index else None

    return weather


@contextlib.contextmanager
def whatever_comes() -> Iterator[None]:
    with contextlib.suppress(TokenVendingError, Killed):
        yield


def due(*, standby: bool) -> World:
    """A stack whose token is due for its age."""
    world = World(standby=standby)
    world.set_credentials("right")
    world.set_credentials("right too", standby=True)
    world.run({"id": "before"})
    world.clock.advance(timedelta(days=21))
    return world


@pytest.mark.parametrize("standby", [False, True], ids=["one account", "two accounts"])
@pytest.mark.parametrize("index", range(LONGEST_RUN))
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_one_further_run_mends_any_fault(kind: Kind, index: int, *, standby: bool) -> None:
    world = due(standby=standby)
    sent = len(world.personr.sent)
    with whatever_comes():
        world.run({"id": "tick"}, weather=at(index, kind))
    assert world.token_works() or len(world.personr.sent) > sent, (
        "no mint was sent, and the old token is gone"
    )
    world.clock.advance(LEASE)
    world.run({"id": "tick"})
    assert world.token_works()
    assert world.lock() is None
    assert len(world.personr.history) <= 1 + 1 + 1


@pytest.mark.parametrize("standby", [False, True], ids=["one account", "two accounts"])
@pytest.mark.parametrize("first", range(LONGEST_RUN))
def test_one_further_run_mends_any_two_faults(first: int, *, standby: bool) -> None:
    for one in range(5):
        for second in range(LONGEST_RUN):
            for other in range(5):
                world = due(standby=standby)
                for index, number in ((first, one), (second, other)):
                    with whatever_comes():
                        world.run({"id": "tick"}, weather=worst_at(index, number))
                    world.clock.advance(LEASE)
                world.run({"id": "tick"})
                told = f"fault {one} at call {first}, then {other} at {second}"
                current = world.token()
                ours = [mint for mint in world.personr.history if mint.origin == "ours"]
                assert current is not None, told
                assert world.lock() is None, told
                if not world.token_works():
                    # Only a mint that landed late can have killed it, and a caller's report is believed at once.
                    assert current.suspect(world.clock()), told
                    world.run({"id": "report", "rejected_version": current.version})
                    assert world.token_works(), told
                else:
                    assert len(ours) <= 1 + 1 + 2, told
