"""Every order of events, crashes, faults and races that Hypothesis thinks of. `make soak` runs it for longer."""

import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.simulation.faults import VENDOR_KINDS
from tests.simulation.model import COMPLAINTS, DURATIONS, EVENTS, WISHES, Misfortune, Model

slots = st.integers(0, 1)
events = st.sampled_from(EVENTS)
# The lower half of the range is fair weather, so that examples shrink towards it.
weather = st.tuples(st.integers(0, 2 * Misfortune.CODES - 1), st.integers(0, 2 * Misfortune.CODES - 1)).map(
    lambda codes: [Misfortune.decode(code - Misfortune.CODES) for code in codes if code >= Misfortune.CODES]
)


class Stack(RuleBasedStateMachine):
    """One stack with one account."""

    standby = False

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(standby=self.standby)

    @initialize(right=st.booleans())
    def deployed(self, *, right: bool) -> None:
        self.model.deployed(right=right)

    @rule(slot=slots, event=events, bad=weather, warm=st.booleans())
    def runs(self, slot: int, event: str, bad: list[Misfortune], *, warm: bool) -> None:
        self.model.runs(slot, event, bad, warm=warm)

    @rule(slot=slots, event=events, bad=weather)
    def begins(self, slot: int, event: str, bad: list[Misfortune]) -> None:
        self.model.begins(slot, event, bad)

    @precondition(lambda self: self.model.runs_under_way())
    @rule(slot=slots, calls=st.integers(1, 9))
    def moves(self, slot: int, calls: int) -> None:
        self.model.moves(slot, calls)

    @precondition(lambda self: self.model.runs_under_way())
    @rule(slot=slots)
    def is_killed(self, slot: int) -> None:
        self.model.is_killed(slot)

    @rule(duration=st.sampled_from(DURATIONS))
    def time_passes(self, duration: timedelta) -> None:
        self.model.time_passes(duration)

    @rule(right=st.booleans(), standby=st.booleans())
    def credentials_change(self, *, right: bool, standby: bool) -> None:
        self.model.credentials_change(right=right, standby=standby)

    @rule(event=events, number=st.integers(0, len(VENDOR_KINDS) - 1))
    def many_runs_fail(self, event: str, number: int) -> None:
        self.model.many_runs_fail(event, number)

    @rule()
    def somebody_else_mints(self) -> None:
        self.model.somebody_else_mints()

    @rule(standby=st.booleans())
    def credentials_roll_back(self, *, standby: bool) -> None:
        self.model.credentials_roll_back(standby=standby)

    @rule(vend=slots, complaint=st.sampled_from(COMPLAINTS), wish=st.sampled_from(WISHES), bad=weather)
    def a_caller_asks(self, vend: int, complaint: str, wish: int, bad: list[Misfortune]) -> None:
        self.model.a_caller_asks(vend, complaint, wish, bad)

    @invariant()
    def check(self) -> None:
        self.model.check()

    def teardown(self) -> None:
        try:
            self.model.ends()
        finally:
            self.model.kills_all()


class StackOfTwo(Stack):
    """The same with a standby account."""

    standby = True


PROFILE = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "500")),
    stateful_step_count=int(os.environ.get("MODEL_STEPS", "14")),
    suppress_health_check=list(HealthCheck),
)


# As long as it takes: the number of examples is the bound.
@pytest.mark.timeout(0)
@pytest.mark.parametrize("machine", [Stack, StackOfTwo])
def test_every_example_ends_well(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(machine, settings=PROFILE)
