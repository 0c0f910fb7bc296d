"""Two runs at once, in every order of one switch each way, with and without a kill: small, but exhaustive."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from tests.simulation.process import SteppedRun
from tests.simulation.world import World
from token_vending.due import LEASE

CALLS = 10
"""A refresh makes nine calls; one step more is its end."""
REJECTION = {"id": "rejection"}

PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "two ticks": ({"id": "a"}, {"id": "b"}, 1),
    "a tick delivered twice": ({"id": "a"}, {"id": "a"}, 1),
    "a force delivered twice": ({"id": "a", "force": True}, {"id": "a", "force": True}, 1),
    "a tick and a force": ({"id": "a"}, {"id": "b", "force": True}, 2),
    "a tick and a rejection": ({"id": "a"}, REJECTION, 1),
    "two rejections of one version": (REJECTION, REJECTION | {"id": "again"}, 1),
}
"""The events of both runs, and the most mints that they are worth when nobody is killed."""


def events(world: World, *given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    token = world.token()
    assert token is not None
    for event in given:
        rejects = event["id"] in {"rejection", "again"}
        yield event | ({"rejected_version": token.version} if rejects else {})


def move(run: SteppedRun, steps: int) -> None:
    for _ in range(steps):
        run.step()


@pytest.mark.parametrize("killed", ["nobody", "first", "second"])
@pytest.mark.parametrize("standby", [False, True], ids=["one account", "two accounts"])
@pytest.mark.parametrize("pair", PAIRS)
def test_two_runs_at_once_leave_a_working_token(pair: str, killed: str, *, standby: bool) -> None:
    first_event, second_event, worth = PAIRS[pair]
    for ahead, behind in product(range(CALLS + 1), repeat=2):
        world = World(standby=standby)
        world.set_credentials("right")
        world.set_credentials("right too", standby=True)
        world.run({"id": "before"})
        world.clock.advance(timedelta(days=21))
        before = len(world.personr.history)
        one, other = events(world, first_event, second_event)
        first, second = world.begin(one), world.begin(other)
        move(first, ahead)
        move(second, behind)
        if killed == "first":
            first.kill()
        elif killed == "second":
            second.kill()
        first.finish()
        second.finish()
        where = f"{ahead} calls ahead, {behind} behind"
        mints = len(world.personr.history) - before
        if killed == "nobody":
            assert first.error is None, where
            assert second.error is None, where
            assert world.token_works(), where
            assert world.lock() is None, where
            assert 1 <= mints <= worth, where
        world.clock.advance(LEASE)
        world.run({"id": "next tick"})
        assert world.token_works(), where
        assert world.lock() is None, where
        # A kill costs one mint at most: the one that the killed run made or announced.
        assert len(world.personr.history) - before <= worth + (killed != "nobody"), where
