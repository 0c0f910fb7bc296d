"""A stack of the release before goes on with this one, whatever state it was left in."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.simulation.world import CREDENTIALS, EMAIL, TOKEN, World
from token_vending.token import to_rfc3339

SECONDS = timedelta(seconds=1)


class Before:
    """A stack as the first release wrote it: records without a history, and its words in `reason`."""

    def __init__(self) -> None:
        self.world = World()
        self.credentials = self.world.set_credentials("right")
        self.token = self.stores("run-0123/first-intent", reason="rejected")

    def stores(self, run: str, *, reason: str) -> str:
        """A token that the vendor has minted."""
        now = self.world.clock()
        minted = self.world.personr.mint(EMAIL, "right")
        died = to_rfc3339(now - timedelta(minutes=20))
        return self.writes(
            {
                "access_token": minted.token,
                "token_type": "Bearer",
                "issued_at": to_rfc3339(now),
                "expires_at": to_rfc3339(now + self.world.personr.lifetime),
                "user_id": "1x1",
                "credentials_version": self.credentials,
                "reason": f"{reason} (early deaths: {died}, {to_rfc3339(now)})",
                "run": run,
                "suspect_until": None,
            },
            "AWSCURRENT",
        )

    def announces(self, run: str, ago: timedelta, *labels: str) -> str:
        """An intent."""
        started = to_rfc3339(self.world.clock() - ago)
        return self.writes(
            {"intent": run, "started_at": started, "reason": "rejected (failures before: 14)"}, *labels
        )

    def writes(self, record: dict[str, object], *labels: str) -> str:
        version = self.world.secrets.new_version_id()
        self.world.secrets.put_secret_value(TOKEN, version, json.dumps(record), list(labels))
        return version

    def dies_after_its_mint(self, *labels: str) -> None:
        self.world.personr.mint_elsewhere(EMAIL)
        self.announces("run-4567/itself", 60 * SECONDS, "INTENT", "MINTING", *labels)


def untouched(_: Before) -> None:
    """Nothing under way."""


def finished_but_locked(stack: Before) -> None:
    stack.announces("run-0123/first-intent", 60 * SECONDS, "INTENT", "MINTING")


def died(stack: Before) -> None:
    stack.dies_after_its_mint()


def gave_up(stack: Before) -> None:
    stack.dies_after_its_mint("ABANDONED")


def died_and_a_loser_wrote_later(stack: Before) -> None:
    """A run that lost the race for the lock has the label INTENT."""
    stack.dies_after_its_mint()
    stack.announces("run-89ab/itself", 59 * SECONDS, "INTENT")


def failed_fifteen_times(stack: Before) -> None:
    """Nothing minted, lock taken away, the count in the text."""
    stack.announces("run-89ab/itself", SECONDS, "INTENT", "ABANDONED")


def refused(stack: Before) -> None:
    stack.announces("run-89ab/itself", SECONDS, "INTENT", f"REFUSED-{stack.credentials}")


STATES: dict[str, tuple[Callable[[Before], None], str]] = {
    "nothing under way": (untouched, "fresh"),
    "a finished run's lock": (finished_but_locked, "fresh"),
    "a run that died after its mint": (died, "refreshed"),
    "a run that gave up alive": (gave_up, "refreshed"),
    "a dead run's lock, and a later intent": (died_and_a_loser_wrote_later, "refreshed"),
    "fifteen failures in a row": (failed_fifteen_times, "fresh"),
    "refused credentials": (refused, "fresh"),
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
    stack.announces("run-4567/itself", 5 * SECONDS, "INTENT", "MINTING")
    assert stack.world.run({"id": "tick"}).outcome == "busy"


def test_an_empty_secret_of_the_first_release_mints() -> None:
    world = World()
    world.set_credentials("right")
    world.secrets.put(TOKEN, "")
    assert world.run({"id": "tick"}).reason == "no_token"
    assert world.token_works()
    assert world.secrets.holder(CREDENTIALS, "AWSCURRENT") is not None
