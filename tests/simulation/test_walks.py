"""Random walks through the model, of seeds that CI repeats; `make soak` takes more and other ones."""

import os

import pytest

from tests.simulation.walks import Walk

pytestmark = pytest.mark.slow

WALKS = int(os.environ.get("MODEL_WALKS", "2000"))
FIRST_SEED = int(os.environ.get("MODEL_SEED", "0"))
BATCHES = 10


@pytest.mark.timeout(0)
@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("standby", [False, True], ids=["one account", "two accounts"])
def test_every_walk_ends_well(batch: int, *, standby: bool) -> None:
    size = WALKS // (2 * BATCHES)
    first = FIRST_SEED + batch * size
    for seed in range(first, first + size):
        walk = Walk.drawn(seed, standby=standby)
        if walk.failure() is not None:
            shortest = walk.shortest()
            pytest.fail(f"seed {seed}: {shortest.failure()!r}\n{shortest.story()}")


def test_a_walk_is_the_same_whenever_it_is_drawn() -> None:
    assert Walk.drawn(1, standby=False) == Walk.drawn(1, standby=False)
    assert Walk.drawn(1, standby=False) != Walk.drawn(2, standby=False)
