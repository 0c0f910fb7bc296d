"""A stack of the release before goes on with this one, whatever state it was left in."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.simulation.world import EMAIL, TOKEN, World
from token_vending.token import to_rfc3339

SECOND = timedelta(seconds=1)


class Before:
    """A stack as the first release wrote it: records without a history, and its words in `reason`."""

    def __init__(self) -> None:
        self.world = World()
        self.credentials = self.world.set_credentials("right")
        now = self.world.clock()
        died = to_rfc3339(now - timedelta(minutes=20))
        self.writes(
            {
                "access_token": self.world.personr.mint(EMAIL, "right").token,
                "token_type": "Bearer",
                "issued_at": to_rfc3339(now),
                "expires_at": to_rfc3339(now + self.world.personr.lifetime),
                "user_id": "1x1",
                "credentials_version": self.credentials,
                "reason": f"rejected (early deaths: {died}, {to_rfc3339(now)})",
                "run": "run-0123/first-intent",
                "suspect_until": None,
            },
            "AWSCURRENT",
        )

    def announces(self, run: str, seconds_ago: int, *labels: str) -> None:
        """An intent."""
        started = to_rfc3339(self.world.clock() - seconds_ago * SECOND)
        self.writes(
            {"intent": run, "started_at": started, "reason": "rejected (failures before: 14)"},
            *("INTENT", *labels),
        )

    def dies_after_its_mint(self, *labels: str) -> None:
        self.world.personr.mint_elsewhere(EMAIL)
        self.announces("run-4567/itself", 60, "MINTING", *labels)

    def a_loser_wrote_later(self) -> None:
        """A run that lost the race for the lock has the label INTENT."""
        self.dies_after_its_mint()
        self.announces("run-89ab/itself", 59)

    def writes(self, record: dict[str, object], *labels: str) -> None:
        version = self.world.secrets.new_version_id()
        self.world.secrets.put_secret_value(TOKEN, version, json.dumps(record), list(labels))


LATEST = "run-89ab/itself"
STATES: dict[str, tuple[Callable[[Before], object], str]] = {
    "nothing under way": (lambda _: None, "fresh"),
    "a finished run's lock": (lambda stack: stack.announces("run-0123/first-intent", 60, "MINTING"), "fresh"),
    "a run that died after its mint": (lambda stack: stack.dies_after_its_mint(), "refreshed"),
    "a run that gave up alive": (lambda stack: stack.dies_after_its_mint("ABANDONED"), "refreshed"),
    "a dead run's lock, and a later intent": (Before.a_loser_wrote_later, "refreshed"),
    "fifteen failures in a row": (lambda stack: stack.announces(LATEST, 1, "ABANDONED"), "fresh"),
    "refused credentials": (
        lambda stack: stack.announces(LATEST, 1, f"REFUSED-{stack.credentials}"),
        "fresh",
    ),
}


@pytest.mark.parametrize("state", STATES)
def test_a_stack_of_the_first_release_goes_on_from_every_state(state: str) -> None:
    prepare, outcome = STATES[state]
    stack = Before()
    prepare(stack)
    world = stack.world
    assert world.run({"id": "the first tick of this release"}).outcome == outcome
    assert world.token_works()
    assert world.lock() is None
    for number in range(2):
        world.clock.advance(timedelta(days=22))
        if state == "refused credentials":
            assert world.run({"id": f"renewal {number}"}).outcome == "refused"
            world.set_credentials("right again")
        assert world.run({"id": f"renewal {number}, again"}).outcome == "refreshed"
        state = "going on"
    assert world.token_works()


def test_a_living_run_of_the_first_release_is_not_disturbed() -> None:
    stack = Before()
    stack.announces("run-4567/itself", 5, "MINTING")
    assert stack.world.run({"id": "tick"}).outcome == "busy"


def test_an_empty_secret_of_the_first_release_mints() -> None:
    world = World()
    world.set_credentials("right")
    world.secrets.put(TOKEN, "")
    assert world.run({"id": "tick"}).reason == "no_token"
    assert world.token_works()
