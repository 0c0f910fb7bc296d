"""Random walks through the model, of seeds that CI repeats; `make soak` takes more and other ones.

MODEL_SEED=7 MODEL_WALKS=20 plays the walks of seed 7 alone, besides those of the nine after it.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from tests.simulation import must_hold
from tests.simulation.faults import VENDOR_KINDS
from tests.simulation.model import Misfortune, Model
from token_vending.due import LEASE

pytestmark = pytest.mark.slow

WALKS = int(os.environ.get("MODEL_WALKS", "1740"))
FIRST_SEED = int(os.environ.get("MODEL_SEED", "0"))
BATCHES = 10
LONGEST = 35
SECONDS = (1, 9, 30, LEASE.total_seconds(), 61, 240, 900, 3600, 8 * 86_400, 21 * 86_400)
EVENTS = ("tick", "force", "reject", "reject old", "longer life", "again", "started by vend")


def _slot(dice: random.Random) -> int:
    return dice.randrange(2)


def _event(dice: random.Random) -> str:
    return dice.choice(EVENTS)


def _bad(dice: random.Random) -> list[Misfortune]:
    return [
        Misfortune(dice.randrange(12), dice.randrange(10), dice.randint(1, 4), goes_on=dice.random() < 0.5)
        for _ in range(2)
        if dice.random() < 0.35
    ]


def _chance(of: float) -> Callable[[random.Random], bool]:
    return lambda dice: dice.random() < of


STEPS: dict[str, tuple[int, dict[str, Callable[[random.Random], Any]]]] = {
    "runs": (30, {"slot": _slot, "event": _event, "bad": _bad, "warm": _chance(0.5)}),
    "begins": (15, {"slot": _slot, "event": _event, "bad": _bad}),
    "moves": (20, {"slot": _slot, "calls": lambda dice: dice.randint(1, 9)}),
    "is_killed": (3, {"slot": _slot}),
    "time_passes": (17, {"duration": lambda dice: timedelta(seconds=dice.choice(SECONDS))}),
    "credentials_change": (5, {"right": _chance(0.6), "standby": _chance(0.5)}),
    "credentials_roll_back": (2, {"standby": _chance(0.5)}),
    "many_runs_fail": (2, {"event": _event, "number": lambda dice: dice.randrange(len(VENDOR_KINDS))}),
    "somebody_else_mints": (3, {}),
    "a_caller_asks": (
        7,
        {
            "desk": _slot,
            "complaint": lambda dice: dice.choice(("none", "current", "old")),
            "wish_days": lambda dice: dice.choice((0, 1, 366)),
            "bad": _bad,
        },
    ),
}
"""What may happen: a method of the model, how often of a hundred or so, and how its arguments are drawn."""


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    arguments: dict[str, Any]

    def shorter(self) -> list["Step"]:
        """The same with one misfortune less."""
        bad = self.arguments.get("bad", [])
        return [
            Step(self.name, self.arguments | {"bad": [*bad[:index], *bad[index + 1 :]]})
            for index in range(len(bad))
        ]


@dataclass(frozen=True, slots=True)
class Walk:
    """One story from deployment to the end. `stack`: the model's options."""

    stack: dict[str, bool]
    steps: tuple[Step, ...]

    @classmethod
    def drawn(cls, seed: int, *, standby: bool) -> "Walk":
        """The walk of this seed."""
        dice = random.Random(seed)
        stack = {"standby": standby, "probe": dice.random() < 0.2, "right": dice.random() < 0.7}
        names = dice.choices(
            list(STEPS), [weight for weight, _ in STEPS.values()], k=dice.randint(5, LONGEST)
        )
        steps = (Step(name, {key: draw(dice) for key, draw in STEPS[name][1].items()}) for name in names)
        return cls(stack, tuple(steps))

    def failure(self) -> Exception | None:
        """What the model finds wrong, or None."""
        model = Model(**self.stack)
        try:
            must_hold.check(model)
            for step in self.steps:
                getattr(model, step.name)(**step.arguments)
                must_hold.check(model)
            must_hold.it_ends_well(model)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            return error
        finally:
            model.ends()
        return None

    def shortest(self) -> "Walk":
        """A failing walk without the steps and misfortunes that it fails without."""
        shorter = next((walk for walk in self._shorter() if walk.failure() is not None), None)
        return shorter.shortest() if shorter else self

    def _shorter(self) -> list["Walk"]:
        steps = self.steps
        fewer = [steps[:index] + steps[index + 1 :] for index in reversed(range(len(steps)))]
        fewer += [
            (*steps[:index], calmer, *steps[index + 1 :])
            for index, step in enumerate(steps)
            for calmer in step.shorter()
        ]
        return [replace(self, steps=candidate) for candidate in fewer]

    def story(self) -> str:
        """The walk, one step a line."""
        return "\n".join([str(self.stack), *(f"  {step.name} {step.arguments}" for step in self.steps)])


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
