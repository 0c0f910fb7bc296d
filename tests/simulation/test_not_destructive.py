"""An issuer whose new token leaves the one before alive: at no moment is there no working token in the store."""

import contextlib
from datetime import timedelta

import pytest

from tests.simulation.faults import AWS_KINDS, MINT, VENDOR_KINDS, Call, Fault, Killed, Kind, Weather
from tests.simulation.world import World
from token_vending.due import LEASE, Rules
from token_vending.errors import TokenVendingError

ALL_KINDS = sorted({*AWS_KINDS, *VENDOR_KINDS})
LONGEST_RUN = 11
LIFETIME = timedelta(days=60)
RULES = Rules(max_age=None)


def due() -> World:
    """A stack whose token expires soon; nothing but its expiry is a reason to renew it."""
    world = World(rules=RULES)
    world.personr.destructive = False
    world.personr.idle_lifetime = None
    world.personr.lifetime = LIFETIME
    world.set_credentials("right")
    world.run({"id": "before"})
    world.clock.advance(LIFETIME - RULES.renew_before + timedelta(minutes=1))
    return world


def at(index: int, kind: Kind, world: World, dead: list[Call]) -> Weather:
    """The fault befalls the call of this index, if it is a kind for that call. Notes each call made without a token."""

    def weather(call: Call) -> Fault | None:
        if not world.token_works():
            dead.append(call)
        fits = kind in (VENDOR_KINDS if call.operation == MINT else AWS_KINDS)
        return Fault(kind, seconds=120.0) if call.index == index and fits else None

    return weather


@pytest.mark.parametrize("index", range(LONGEST_RUN))
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_no_fault_at_any_call_leaves_a_dead_token_in_the_store_even_for_a_moment(
    kind: Kind, index: int
) -> None:
    world = due()
    dead: list[Call] = []
    with contextlib.suppress(TokenVendingError, Killed):
        world.run({"id": "tick"}, weather=at(index, kind, world, dead))
    assert dead == []
    assert world.token_works()

    world.clock.advance(LEASE)
    world.run({"id": "tick"}, weather=at(-1, kind, world, dead))
    assert dead == []
    token = world.token()
    assert token is not None
    assert token.remaining(world.clock()) > RULES.renew_before
    assert world.lock() is None


def test_a_mint_that_may_have_landed_makes_no_token_suspect() -> None:
    world = due()
    world.run(
        {"id": "tick"},
        weather=lambda call: (
            Fault(Kind.LOST) if call == Call(call.index, MINT) and world.personr.history[1:] == [] else None
        ),
    )
    token = world.token()
    assert token is not None
    assert token.suspect_until is None
    assert len(world.personr.history) == 3


def test_a_foreign_mint_harms_nobody() -> None:
    world = due()
    world.personr.mint_elsewhere("service-account@example.com")
    assert world.token_works()
