"""Two runs at once, in every order of one switch each way, with and without a kill: small, but exhaustive."""

from datetime import timedelta
from typing import Any

import pytest

from tests.simulation.process import SteppedRun
from tests.simulation.world import World
from token_vending.due import LEASE

CALLS = 10
"""A refresh makes nine calls; one step more is its end."""
REJECTION = {"id": "rejection", "rejected_version": "current"}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "two ticks": ({"id": "a"}, {"id": "b"}, 1),
    "a tick delivered twice": ({"id": "a"}, {"id": "a"}, 1),
    "a force delivered twice": ({"id": "a", "force": True}, {"id": "a", "force": True}, 1),
    "a tick and a force": ({"id": "a"}, {"id": "b", "force": True}, 2),
    "a tick and a rejection": ({"id": "a"}, REJECTION, 1),
    "two rejections of one version": (REJECTION, REJECTION | {"id": "again"}, 1),
}
"""The events of both runs, and the most mints that they are worth when nobody is killed."""


def begin(world: World, event: dict[str, Any]) -> SteppedRun:
    current = {"rejected_version": world.stored().version} if "rejected_version" in event else {}
    return world.begin(event | current)


def moved(run: SteppedRun, steps: int) -> bool:
    """Whether it went so far."""
    for _ in range(steps):
        if run.done:
            return False
        run.step()
    return True


@pytest.mark.parametrize("killed", ["nobody", "first", "second"])
@pytest.mark.parametrize("standby", [False, True], ids=["one account", "two accounts"])
@pytest.mark.parametrize("pair", PAIRS)
def test_two_runs_at_once_leave_a_working_token(pair: str, killed: str, *, standby: bool) -> None:
    for ahead in range(CALLS + 1):
        for behind in range(CALLS + 1):
            if not interleaved(pair, ahead, behind, killed, standby=standby):
                break


def interleaved(pair: str, ahead: int, behind: int, killed: str, *, standby: bool) -> bool:
    """Whether the second run was long enough to go so far: if not, it ends as with one step less."""
    one, other, worth = PAIRS[pair]
    world = World(standby=standby).minted()
    world.clock.advance(timedelta(days=21))
    before = len(world.personr.history)
    first, second = begin(world, one), begin(world, other)
    moved(first, ahead)
    far = moved(second, behind)
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
    return far
