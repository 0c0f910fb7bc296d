"""What the model found, each as the shortest story that shows it."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from tests.simulation.faults import MINT, Fault, Killed, Kind, Weather
from tests.simulation.personr import Origin
from tests.simulation.process import SteppedRun
from tests.simulation.world import CREDENTIALS, World
from token_vending.due import LATE_MINT_WINDOW, LEASE
from token_vending.errors import CredentialsRefused, StoreUnavailable

FORCED = {"id": "forced", "force": True}


@pytest.fixture
def world() -> World:
    """A stack with right credentials and a working token."""
    world = World()
    world.set_credentials("right")
    world.run({"id": "first"})
    assert world.token_works()
    return world


def on(operation: str, *faults: Fault) -> Weather:
    """The faults befall the calls of one operation, one after the other."""
    left = list(faults)
    return lambda call: left.pop(0) if call.operation == operation and left else None


def at(faults: Mapping[int, Fault]) -> Weather:
    """The faults befall the calls with these indices."""
    return lambda call: faults.get(call.index)


def step_to(run: SteppedRun, operation: str) -> None:
    while run.pending is not None and run.pending.operation != operation:
        run.step()


def unfinished(world: World) -> bool:
    lock, token = world.lock(), world.token()
    return lock is not None and token is not None and lock.run != token.run


def test_a_redelivery_in_the_window_is_not_taken_for_finished(world: World) -> None:
    """Both deliveries had the event's run id, so the token of the first finished the intent of the second."""
    world.run(FORCED)
    world.set_credentials("new")
    with pytest.raises(Killed):
        world.run(FORCED, weather=on(MINT, Fault(Kind.CRASH_AFTER)))
    assert not world.token_works()
    assert unfinished(world)


def test_the_lock_of_a_redelivery_cannot_be_stolen(world: World) -> None:
    late = world.begin(FORCED)
    step_to(late, "PutSecretValue")
    world.run(FORCED)
    world.set_credentials("new")
    step_to(late, MINT)
    assert not late.done
    assert world.run({"id": "other", "force": True}).outcome == "busy"
    late.finish()
    assert world.token_works()


def test_a_served_force_is_recognised_in_every_delivery(world: World) -> None:
    world.run(FORCED)
    assert world.run(FORCED).reason == "already_served"


def test_a_refusal_leaves_an_earlier_runs_question_open(world: World) -> None:
    """It released the lock, and the token that the earlier run had killed looked alive."""
    before = world.secrets.holder(CREDENTIALS, "AWSCURRENT")
    with pytest.raises(Killed):
        world.run(FORCED, weather=on(MINT, Fault(Kind.CRASH_AFTER)))
    world.clock.advance(LEASE)
    wrong = world.set_credentials("wrong", at_vendor=False)
    with pytest.raises(CredentialsRefused):
        world.run({"id": "tick"})
    assert unfinished(world)

    world.secrets.update_secret_version_stage(CREDENTIALS, "AWSCURRENT", move_to=before, remove_from=wrong)
    assert world.run({"id": "next tick"}).outcome == "refreshed"
    assert world.token_works()


def test_a_refusal_after_an_ambiguous_attempt_leaves_the_question_open(world: World) -> None:
    forced = world.begin(FORCED, weather=on(MINT, Fault(Kind.LOST)))
    step_to(forced, MINT)
    forced.step()
    world.personr.set_password("service-account@example.com", "changed in between")
    forced.finish()
    assert isinstance(forced.error, CredentialsRefused)
    assert not world.token_works()
    assert unfinished(world)


def test_a_token_minted_while_an_older_mint_may_land_is_suspect_as_well(world: World) -> None:
    """Only the first token after the ambiguous attempt was; whoever rejected it got one that was not."""
    world.run(FORCED, weather=on(MINT, Fault(Kind.LATE, seconds=225)))
    suspect = world.token()
    assert suspect is not None
    world.run({"id": "rejection", "rejected_version": suspect.version})
    world.clock.advance(timedelta(minutes=4))
    assert world.personr.history[-1].origin is Origin.LATE
    current = world.token()
    assert current is not None
    assert current.version != suspect.version
    report = world.run({"id": "second rejection", "rejected_version": current.version})
    assert report.outcome == "refreshed"
    assert world.token_works()


def test_a_mint_sent_just_before_the_lease_was_over_is_reckoned_with(world: World) -> None:
    """The window was counted from the start of the run that sent it."""
    began = world.clock()
    weather = on(
        MINT,
        Fault(Kind.RATE_LIMITED, seconds=28),
        Fault(Kind.CRASH_LATE, seconds=LATE_MINT_WINDOW.total_seconds()),
    )
    with pytest.raises(Killed):
        world.run(FORCED, weather=weather)
    world.clock.advance(began + LATE_MINT_WINDOW + timedelta(seconds=5) - world.clock())
    world.run({"id": "tick"})
    world.clock.advance(timedelta(minutes=1))
    assert world.personr.history[-1].origin is Origin.LATE
    token = world.token()
    assert token is not None
    assert world.run({"id": "rejection", "rejected_version": token.version}).outcome == "refreshed"
    assert world.token_works()


def test_a_lock_whose_intent_cannot_be_read_yet_is_not_taken_over(world: World) -> None:
    """DescribeSecret showed the lock, a lagging GetSecretValue found no such version: it counted as dead."""
    alive = world.begin(FORCED)
    step_to(alive, MINT)
    lagging = at({3: Fault(Kind.STALE, mutations=2)})
    with pytest.raises(StoreUnavailable, match="cannot be read yet"):
        world.run({"id": "tick"}, weather=lagging)
    alive.finish()
    assert alive.error is None
    assert world.token_works()


def test_newer_credentials_that_another_run_minted_with_are_no_reason_to_mint() -> None:
    """A run that had read the old ones and no token went on to mint with them, and killed the new token."""
    world = World()
    world.set_credentials("old")
    slow = world.begin({"id": "first tick"})
    step_to(slow, "DescribeSecret")
    world.set_credentials("new")
    assert world.run({"id": "second tick"}).outcome == "refreshed"
    slow.finish()
    assert slow.error is None
    assert slow.result.outcome == "fresh"
    assert world.token_works()


def test_a_slow_run_does_not_mint_with_the_account_that_is_in_use_by_now() -> None:
    """It had chosen the account before it held the lock."""
    world = World(standby=True)
    world.set_credentials("primary")
    world.set_credentials("standby", standby=True)
    world.run({"id": "first"})
    slow = world.begin(FORCED)
    step_to(slow, "PutSecretValue")
    world.run({"id": "also forced", "force": True})
    in_use = world.token()
    assert in_use is not None
    slow.finish()
    assert slow.result.outcome == "refreshed"
    assert world.personr.works(in_use.access_token()), "the token before it lives until its own turn"


def test_a_lost_answer_about_a_finished_lock_opens_no_question(world: World) -> None:
    """The run left an intent behind that looked as if it had minted."""
    with pytest.raises(Killed):
        world.run(FORCED, weather=lambda call: Fault(Kind.CRASH_BEFORE) if call.index == 8 else None)
    assert world.lock() is not None
    with pytest.raises(StoreUnavailable):
        world.run(
            {"id": "also forced", "force": True}, weather=on("UpdateSecretVersionStage", Fault(Kind.LOST))
        )
    assert world.lock() is None
