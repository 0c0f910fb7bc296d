"""Every fault at every call of a run, and every pair of one in a run and one in the run that repairs it."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from tests.simulation.faults import AWS_KINDS, MINT, VENDOR_KINDS, Call, Fault, Killed, Kind
from tests.simulation.world import World
from token_vending.due import LEASE, Rules
from token_vending.errors import TokenVendingError

LONGEST_RUN = 11
"""Calls: a take-over reads the intent that the lock lies on, and two accounts read one secret more."""
ALL_KINDS = sorted({*AWS_KINDS, *VENDOR_KINDS})
WORST = (
    (Kind.CRASH_BEFORE,),
    (Kind.CRASH_AFTER,),
    (Kind.LOST,),
    (Kind.REPLAYED, Kind.CRASH_LATE),
    (Kind.THROTTLED, Kind.UNREADABLE),
)
"""One for each call: the second of two is the vendor's."""
UNHARMED = Rules(max_age=None)
UNHARMED_LIFETIME = timedelta(days=60)
both = pytest.mark.parametrize("standby", [False, True], ids=["one account", "two accounts"])


class Once:
    """The call of this index is befallen by the first of these kinds that is one for it."""

    def __init__(self, index: int, *kinds: Kind, look: Callable[[Call], None] = lambda _: None) -> None:
        self.index = index
        self.kinds = kinds
        self.look = look
        self.reached = False
        """Whether the run was long enough. If it was not, so it is with every later index."""

    def __call__(self, call: Call) -> Fault | None:
        self.look(call)
        if call.index != self.index:
            return None
        self.reached = True
        fitting = VENDOR_KINDS if call.operation == MINT else AWS_KINDS
        return next((Fault(kind, seconds=120.0) for kind in self.kinds if kind in fitting), None)


def due(*, standby: bool) -> World:
    """A stack whose token is due for its age."""
    world = World(standby=standby).minted()
    world.clock.advance(timedelta(days=21))
    return world


def ticks(world: World, fault: Once) -> None:
    """A run that may fail."""
    with suppress(TokenVendingError, Killed):
        world.run({"id": "tick"}, weather=fault)


@both
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_one_further_run_repairs_a_fault_at_any_call(kind: Kind, *, standby: bool) -> None:
    for index in range(LONGEST_RUN):
        world, fault = due(standby=standby), Once(index, kind)
        sent = len(world.personr.sent)
        ticks(world, fault)
        assert world.token_works() or len(world.personr.sent) > sent, f"{index}: no mint, and no token"
        world.clock.advance(LEASE)
        world.run({"id": "tick"})
        assert world.token_works(), index
        assert world.lock() is None, index
        assert len(world.personr.history) <= 1 + 1 + 1, index
        if not fault.reached:
            break


@both
@pytest.mark.parametrize("first", range(LONGEST_RUN))
def test_one_further_run_repairs_any_two_faults(first: int, *, standby: bool) -> None:
    for one in WORST:
        for second in range(LONGEST_RUN):
            if not all(after_two_faults(first, one, second, other, standby=standby) for other in WORST):
                break


def after_two_faults(
    first: int, one: tuple[Kind, ...], second: int, other: tuple[Kind, ...], *, standby: bool
) -> bool:
    """Whether the second run was long enough for its fault."""
    world, told = due(standby=standby), f"{one} at call {first}, then {other} at {second}"
    faults = Once(first, *one), Once(second, *other)
    for fault in faults:
        ticks(world, fault)
        world.clock.advance(LEASE)
    world.run({"id": "tick"})
    assert world.lock() is None, told
    if not world.token_works():
        # Only a mint that landed late can have killed it, and a caller's report is believed at once.
        assert world.stored().suspect(world.clock()), told
        world.run({"id": "report", "rejected_version": world.stored().version})
        assert world.token_works(), told
    else:
        assert sum(mint.origin == "ours" for mint in world.personr.history) <= 1 + 1 + 2, told
    return faults[1].reached


# --- an issuer whose new token leaves the one before alive ------------------------------------------------


def expiring() -> World:
    """A stack whose token expires soon; nothing but its expiry is a reason to renew it."""
    world = World(rules=UNHARMED)
    world.personr.destructive = False
    world.personr.idle_lifetime = None
    world.personr.lifetime = UNHARMED_LIFETIME
    world.minted()
    world.clock.advance(UNHARMED_LIFETIME - UNHARMED.renew_before + timedelta(minutes=1))
    return world


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_where_a_mint_kills_nothing_no_fault_leaves_a_dead_token_even_for_a_moment(kind: Kind) -> None:
    for index in range(LONGEST_RUN):
        world = expiring()
        dead: list[Call] = []

        def look(call: Call, world: World = world, dead: list[Call] = dead) -> None:
            if not world.token_works():
                dead.append(call)

        fault = Once(index, kind, look=look)
        ticks(world, fault)
        assert world.token_works(), index
        world.clock.advance(LEASE)
        world.run({"id": "tick"}, weather=Once(-1, look=look))
        assert dead == [], index
        assert world.stored().remaining(world.clock()) > UNHARMED.renew_before, index
        assert world.lock() is None, index
        if not fault.reached:
            break


def test_where_a_mint_kills_nothing_a_mint_that_may_have_landed_makes_no_token_suspect() -> None:
    world = expiring()
    lost = [Fault(Kind.LOST)]
    world.run({"id": "tick"}, weather=lambda call: lost.pop() if call.operation == MINT and lost else None)
    assert world.stored().suspect_until is None
    assert len(world.personr.history) == 3
