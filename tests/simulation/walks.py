"""Random walks through the model. What they find is shortened.

python -m tests.simulation.walks --seed 7 --standby     # one walk again, shortened if it fails
"""

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from tests.simulation.faults import VENDOR_KINDS
from tests.simulation.model import COMPLAINTS, DURATIONS, EVENTS, WISHES, Misfortune, Model

LONGEST = 35


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens: a method of the model and its arguments."""

    name: str
    arguments: dict[str, Any]

    def happen_to(self, model: Model) -> None:
        getattr(model, self.name)(**self.arguments)

    def shorter(self) -> list["Step"]:
        """The same with one misfortune less."""
        bad: Sequence[Misfortune] = self.arguments.get("bad", ())
        return [
            Step(self.name, self.arguments | {"bad": [*bad[:index], *bad[index + 1 :]]})
            for index in range(len(bad))
        ]


@dataclass(frozen=True, slots=True)
class Walk:
    """One story from deployment to the end. `standby`: with a second account."""

    standby: bool
    probe: bool
    right: bool
    steps: tuple[Step, ...]

    @classmethod
    def drawn(cls, seed: int, *, standby: bool) -> "Walk":
        """The walk of this seed."""
        dice = random.Random(seed)
        right, probe = dice.random() < 0.7, dice.random() < 0.2
        kinds = dice.choices(list(_KINDS), weights=[weight for weight, _ in _KINDS.values()], k=LONGEST)
        steps = [Step(name, _KINDS[name][1](dice)) for name in kinds[: dice.randint(5, LONGEST)]]
        return cls(standby, probe, right, tuple(steps))

    def play(self) -> None:
        """Raises what the model finds wrong."""
        model = Model(standby=self.standby, probe=self.probe)
        try:
            model.deployed(right=self.right)
            model.check()
            for step in self.steps:
                step.happen_to(model)
                model.check()
            model.ends()
        finally:
            model.kills_all()

    def failure(self) -> Exception | None:
        """What the model finds wrong, or None."""
        try:
            self.play()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            return error
        return None

    def shortest(self) -> "Walk":
        """A failing walk without the steps and misfortunes that it fails without."""
        walk = self
        while True:
            for candidate in walk._shorter():
                if candidate.failure() is not None:
                    walk = candidate
                    break
            else:
                return walk

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
        head = f"standby={self.standby} probe={self.probe} right={self.right}"
        return "\n".join([head, *(f"  {step.name} {step.arguments}" for step in self.steps)])


def _bad(dice: random.Random) -> list[Misfortune]:
    return [Misfortune.decode(dice.randrange(Misfortune.CODES)) for _ in range(2) if dice.random() < 0.35]


def _duration(dice: random.Random) -> timedelta:
    return dice.choice(DURATIONS)


_KINDS: dict[str, tuple[int, Callable[[random.Random], dict[str, Any]]]] = {
    "runs": (
        30,
        lambda dice: {
            "slot": dice.randrange(2),
            "event": dice.choice(EVENTS),
            "bad": _bad(dice),
            "warm": dice.random() < 0.5,
        },
    ),
    "begins": (
        15,
        lambda dice: {"slot": dice.randrange(2), "event": dice.choice(EVENTS), "bad": _bad(dice)},
    ),
    "moves": (20, lambda dice: {"slot": dice.randrange(2), "calls": dice.randint(1, 9)}),
    "is_killed": (3, lambda dice: {"slot": dice.randrange(2)}),
    "time_passes": (17, lambda dice: {"duration": _duration(dice)}),
    "credentials_change": (5, lambda dice: {"right": dice.random() < 0.6, "standby": dice.random() < 0.5}),
    "credentials_roll_back": (2, lambda dice: {"standby": dice.random() < 0.5}),
    "many_runs_fail": (
        2,
        lambda dice: {"event": dice.choice(EVENTS), "number": dice.randrange(len(VENDOR_KINDS))},
    ),
    "somebody_else_mints": (3, lambda _: {}),
    "a_caller_asks": (
        7,
        lambda dice: {
            "vend": dice.randrange(2),
            "complaint": dice.choice(COMPLAINTS),
            "wish": dice.choice(WISHES),
            "bad": _bad(dice),
        },
    ),
}


def main() -> int:
    """Play one walk; 1 if it fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--standby", action="store_true")
    given = parser.parse_args()
    walk = Walk.drawn(given.seed, standby=given.standby)
    if walk.failure() is None:
        return 0
    walk = walk.shortest()
    sys.stderr.write(f"{walk.story()}\n{walk.failure()!r}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
