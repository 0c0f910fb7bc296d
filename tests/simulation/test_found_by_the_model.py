"""What the model and reviews of the protocol found, each as the shortest story that shows it."""

from datetime import timedelta
from typing import Any

import pytest

from tests.kit.personr.rules import Origin
from tests.simulation.faults import MINT, Fault, Killed, Kind, Weather, fair
from tests.simulation.process import SteppedRun
from tests.simulation.world import CREDENTIALS, EMAIL, STANDBY_EMAIL, TOKEN, World
from token_vending.due import LATE_MINT_WINDOW, LEASE
from token_vending.errors import CredentialsRefused, StoreUnavailable, VendorProtocolError, VendorUnavailable
from token_vending.history import FREE_FAILURES, LONGEST_PAUSE
from token_vending.ports import LOCK
from token_vending.refreshing import Report

FORCED = {"id": "forced", "force": True}
MINUTE = timedelta(minutes=1)
OLD = timedelta(days=22)


@pytest.fixture
def world() -> World:
    """A stack with right credentials and a working token."""
    return World().minted()


def on(operation: str, *faults: Fault) -> Weather:
    """The faults befall the calls of one operation, one after the other."""
    left = list(faults)
    return lambda call: left.pop(0) if call.operation == operation and left else None


def begun(
    world: World, operation: str, event: object = FORCED, weather: Weather = fair, **more: Any
) -> SteppedRun:
    """A run that stands before its first call of this operation."""
    run = world.begin(event, weather=weather, **more)
    while run.pending is not None and run.pending.operation != operation:
        run.step()
    return run


def rejected(world: World) -> Report:
    """A caller reports the stored token."""
    return world.run({"id": "rejection", "rejected_version": world.stored().version})


def crashes_after_its_mint(world: World) -> None:
    with pytest.raises(Killed):
        world.run(FORCED, weather=on(MINT, Fault(Kind.CRASH_AFTER)))
    assert not world.token_works()


def unfinished(world: World) -> bool:
    lock = world.lock()
    return lock is not None and lock.run != world.stored().run


def test_a_redelivery_in_the_window_is_not_taken_for_finished(world: World) -> None:
    """Both deliveries had the event's run id, so the token of the first finished the intent of the second."""
    world.run(FORCED)
    world.set_credentials("new")
    crashes_after_its_mint(world)
    assert unfinished(world)


def test_a_refusal_leaves_an_earlier_runs_question_open(world: World) -> None:
    """It released the lock, and the token that the earlier run had killed looked alive."""
    before = world.secrets.holder(CREDENTIALS, "AWSCURRENT")
    crashes_after_its_mint(world)
    world.clock.advance(LEASE)
    wrong = world.set_credentials("wrong", at_vendor=False)
    with pytest.raises(CredentialsRefused):
        world.run({"id": "tick"})
    assert unfinished(world)

    world.secrets.update_secret_version_stage(CREDENTIALS, "AWSCURRENT", move_to=before, remove_from=wrong)
    assert world.run({"id": "next tick"}).outcome == "refreshed"
    assert world.token_works()


def test_a_refusal_after_an_ambiguous_attempt_leaves_the_question_open(world: World) -> None:
    forced = begun(world, MINT, weather=on(MINT, Fault(Kind.LOST)))
    forced.step()
    world.personr.set_password(EMAIL, "changed in between")
    forced.finish()
    assert isinstance(forced.error, CredentialsRefused)
    assert not world.token_works()
    assert unfinished(world)


def test_a_token_minted_while_an_older_mint_may_land_is_suspect_as_well(world: World) -> None:
    """Only the first token after the ambiguous attempt was; whoever rejected it got one that was not."""
    world.run(FORCED, weather=on(MINT, Fault(Kind.LATE, seconds=225)))
    suspect = world.stored()
    rejected(world)
    assert world.stored().version != suspect.version
    world.clock.advance(4 * MINUTE)
    assert world.personr.history[-1].origin is Origin.LATE
    assert rejected(world).outcome == "refreshed"
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
    world.clock.advance(MINUTE)
    assert world.personr.history[-1].origin is Origin.LATE
    assert rejected(world).outcome == "refreshed"
    assert world.token_works()


def test_newer_credentials_that_another_run_minted_with_are_no_reason_to_mint() -> None:
    """A run that had read the old ones and no token went on to mint with them, and killed the new token."""
    world = World()
    world.set_credentials("old")
    slow = begun(world, "PutSecretValue", {"id": "first tick"})
    world.set_credentials("new")
    assert world.run({"id": "second tick"}).outcome == "refreshed"
    slow.finish()
    assert slow.error is None
    assert slow.result.outcome == "busy"
    assert world.token_works()


def test_a_slow_run_does_not_mint_with_the_account_that_is_in_use_by_now() -> None:
    """It had chosen the account before it held the lock."""
    world = World(standby=True).minted()
    slow = begun(world, "PutSecretValue")
    world.run({"id": "also forced", "force": True})
    in_use = world.stored()
    slow.finish()
    assert slow.result.outcome == "busy"
    assert world.personr.works(in_use.access_token())


def test_a_claim_whose_answer_was_lost_costs_the_lease_and_one_mint_more(world: World) -> None:
    with pytest.raises(StoreUnavailable):
        world.run(FORCED, weather=on("PutSecretValue", Fault(Kind.LOST)))
    assert world.token_works()
    assert world.run({"id": "tick"}).outcome == "busy"
    world.clock.advance(LEASE)
    assert world.run({"id": "next tick"}).reason == "unfinished_intent"
    assert world.token_works()


# --- the pause -----------------------------------------------------------------------


def ten_runs_fail(world: World) -> None:
    """The vendor turns them all away; the next one has to wait from now on."""
    world.clock.advance(OLD)
    for number in range(FREE_FAILURES):
        with pytest.raises(VendorUnavailable):
            world.run({"id": f"tick {number}"}, weather=on(MINT, *[Fault(Kind.RATE_LIMITED)] * 9))
        world.clock.advance(MINUTE)


def test_a_crash_after_ten_failures_is_mended_within_the_pause(world: World) -> None:
    """The exception to "the first retry mends it": it costs the pause, and no more."""
    ten_runs_fail(world)
    world.clock.advance(LONGEST_PAUSE)
    with pytest.raises(Killed):
        world.run({"id": "crash"}, weather=on(MINT, Fault(Kind.CRASH_AFTER)))
    died = world.clock()
    assert not world.token_works()
    world.clock.advance(MINUTE)
    with pytest.raises(VendorUnavailable, match="Nothing was tried"):
        world.run({"id": "crash"})
    assert not world.token_works()
    world.clock.advance(died + LONGEST_PAUSE - world.clock())
    assert world.run({"id": "next tick"}).outcome == "refreshed"
    assert world.token_works()


def test_after_a_run_that_gave_up_alive_the_next_one_need_not_wait(world: World) -> None:
    """It cannot exclude that it has minted, so it keeps the lock; but nobody is behind it any more. Without the label
    ABANDONED callers of the dead token would wait for the lease.
    """
    with pytest.raises(VendorProtocolError):
        world.run(FORCED, weather=on(MINT, Fault(Kind.UNREADABLE)))
    assert unfinished(world)
    assert not world.token_works()
    assert world.run({"id": "another process"}).outcome == "refreshed"
    assert world.token_works()


# --- what is assumed, and what becomes of it otherwise ----------------------------------------------------


def reported_dead(world: World) -> None:
    """Ticks see nothing; a caller's report, from the minimum age on, puts it right."""
    assert not world.token_works()
    assert world.lock() is None
    world.clock.advance(MINUTE)
    assert world.run({"id": "next tick"}).outcome == "fresh"
    assert rejected(world).reason == "rejected"
    assert world.token_works()


def test_a_clock_far_behind_can_cost_the_token_until_a_caller_reports_it(world: World) -> None:
    world.clock.advance(OLD)
    process = world.refresh_process()
    process.refresher.clock = lambda: world.clock() - timedelta(seconds=25)
    slow = begun(world, MINT, {"id": "slow"}, process=process)
    world.clock.advance(LEASE - timedelta(seconds=24))
    slow.step()
    assert world.run({"id": "other"}).reason == "unfinished_intent"
    slow.finish()
    reported_dead(world)


def test_a_lock_removed_by_hand_can_cost_the_token_until_a_caller_reports_it(world: World) -> None:
    slow = begun(world, MINT)
    slow.step()
    holder = world.secrets.holder(TOKEN, LOCK)
    world.secrets.update_secret_version_stage(TOKEN, LOCK, remove_from=holder)
    assert world.run({"id": "other", "force": True}).outcome == "refreshed"
    slow.finish()
    reported_dead(world)


# --- two accounts -----------------------------------------------------------------------------------------


def test_a_force_uses_the_healthy_account_while_the_other_one_is_latched() -> None:
    """Every force sent the latched credentials again, and failed."""
    world = World(standby=True)
    world.set_credentials("right")
    world.set_credentials("bad", at_vendor=False, standby=True)
    world.run({"id": "first"})
    world.clock.advance(OLD)
    with pytest.raises(CredentialsRefused):
        world.run({"id": "tick"})
    world.run({"id": "tick"})
    sent = world.personr.sent.count((STANDBY_EMAIL, "bad"))
    for number in range(3):
        before = world.stored().access_token()
        assert world.run({"id": f"force {number}", "force": True}).reason == "forced"
        assert world.stored().access_token() != before
        assert world.token_works()
    assert world.personr.sent.count((STANDBY_EMAIL, "bad")) == sent


@pytest.mark.parametrize("event", [{"id": "tick"}, FORCED], ids=["tick", "force"])
def test_a_broken_primary_secret_leaves_the_standby_to_mint(event: dict[str, Any]) -> None:
    """Every run failed on the secret that it had not needed."""
    world = World(standby=True).minted()
    world.secrets.put(CREDENTIALS, "not json")
    world.clock.advance(OLD)
    report = world.run(event)
    assert report.outcome == "refreshed"
    assert any("One of the two accounts cannot be used" in warning for warning in report.warnings)
    assert world.stored().credentials_version.startswith("standby:")
    assert world.token_works()


def test_without_primary_credentials_the_standby_mints_the_first_token() -> None:
    world = World(standby=True)
    world.set_credentials("right", standby=True)
    assert world.run({"id": "first"}).outcome == "refreshed"
    assert world.token_works()


# --- wishes -----------------------------------------------------------------------------------------------


def test_a_wish_for_a_longer_life_waits_for_the_minimum_age_of_a_suspect_token_too(world: World) -> None:
    """Suspicion makes a rejection believed at once. It made wishes granted at once as well."""
    world.run(FORCED, weather=on(MINT, Fault(Kind.LOST)))
    world.clock.advance(timedelta(seconds=30))
    suspect, mints = world.stored(), len(world.personr.history)
    assert suspect.suspect(world.clock())
    wish = {"id": "wish", "force": True, "rejected_version": suspect.version}
    assert world.run(wish).reason == "too_young_to_reject"
    assert len(world.personr.history) == mints
    assert rejected(world).reason == "rejected"
