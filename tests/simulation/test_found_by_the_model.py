"""What the model and reviews of the protocol found, each as the shortest story that shows it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.kit.personr.rules import Origin
from tests.simulation.faults import MINT, Call, Fault, Killed, Kind, Weather
from tests.simulation.process import SteppedRun
from tests.simulation.world import CREDENTIALS, TOKEN, World
from token_vending.due import LATE_MINT_WINDOW, LEASE
from token_vending.errors import CredentialsRefused, StoreUnavailable, VendorProtocolError, VendorUnavailable
from token_vending.history import FREE_FAILURES, LONGEST_PAUSE
from token_vending.ports import LOCK
from token_vending.token import Token

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


def test_a_late_redelivery_does_not_mint_beside_what_was_served_since(world: World) -> None:
    late = world.begin(FORCED)
    step_to(late, "PutSecretValue")
    world.run(FORCED)
    late.finish()
    assert late.result.outcome == "busy"
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


def test_newer_credentials_that_another_run_minted_with_are_no_reason_to_mint() -> None:
    """A run that had read the old ones and no token went on to mint with them, and killed the new token."""
    world = World()
    world.set_credentials("old")
    slow = world.begin({"id": "first tick"})
    step_to(slow, "PutSecretValue")
    world.set_credentials("new")
    assert world.run({"id": "second tick"}).outcome == "refreshed"
    slow.finish()
    assert slow.error is None
    assert slow.result.outcome == "busy"
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


def stored(world: World) -> Token:
    token = world.token()
    assert token is not None
    return token


def ten_runs_fail(world: World) -> None:
    """The vendor turns them all away; the next one has to wait from now on."""
    world.clock.advance(timedelta(days=22))
    for number in range(FREE_FAILURES):
        with pytest.raises(VendorUnavailable):
            world.run({"id": f"tick {number}"}, weather=lambda call: at_mint(call, Kind.RATE_LIMITED))
        world.clock.advance(timedelta(minutes=1))


def at_mint(call: Call, kind: Kind) -> Fault | None:
    return Fault(kind) if call.operation == MINT else None


def test_a_crash_after_ten_failures_is_mended_within_the_pause(world: World) -> None:
    """The exception to "the first retry mends it": it costs the pause, and no more."""
    ten_runs_fail(world)
    world.clock.advance(LONGEST_PAUSE)
    with pytest.raises(Killed):
        world.run({"id": "crash"}, weather=lambda call: at_mint(call, Kind.CRASH_AFTER))
    died = world.clock()
    assert not world.token_works()
    world.clock.advance(timedelta(minutes=1))
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
    world.clock.advance(timedelta(minutes=1))
    assert world.run({"id": "next tick"}).outcome == "fresh"
    assert world.run({"id": "report", "rejected_version": stored(world).version}).reason == "rejected"
    assert world.token_works()


def test_a_clock_far_behind_can_cost_the_token_until_a_caller_reports_it(world: World) -> None:
    world.clock.advance(timedelta(days=22))
    process = world.refresh_process()
    process.refresher.clock = lambda: world.clock() - timedelta(seconds=25)
    slow = world.begin({"id": "slow"}, process=process)
    step_to(slow, MINT)
    world.clock.advance(LEASE - timedelta(seconds=24))
    slow.step()
    assert world.run({"id": "other"}).reason == "unfinished_intent"
    slow.finish()
    reported_dead(world)


def test_a_lock_removed_by_hand_can_cost_the_token_until_a_caller_reports_it(world: World) -> None:
    slow = world.begin(FORCED)
    step_to(slow, MINT)
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
    world.clock.advance(timedelta(days=22))
    with pytest.raises(CredentialsRefused):
        world.run({"id": "tick"})
    world.run({"id": "tick"})
    sent = world.personr.sent.count(("standby-account@example.com", "bad"))
    for number in range(3):
        before = stored(world).access_token()
        assert world.run({"id": f"force {number}", "force": True}).reason == "forced"
        assert stored(world).access_token() != before
        assert world.token_works()
    assert world.personr.sent.count(("standby-account@example.com", "bad")) == sent


@pytest.mark.parametrize("event", [{"id": "tick"}, FORCED], ids=["tick", "force"])
def test_a_broken_primary_secret_leaves_the_standby_to_mint(event: dict[str, Any]) -> None:
    """Every run failed on the secret that it had not needed."""
    world = World(standby=True)
    world.set_credentials("right")
    world.set_credentials("right too", standby=True)
    world.run({"id": "first"})
    world.secrets.put(CREDENTIALS, "not json")
    world.clock.advance(timedelta(days=22))
    report = world.run(event)
    assert report.outcome == "refreshed"
    assert any("One of the two accounts cannot be used" in warning for warning in report.warnings)
    assert stored(world).credentials_version.startswith("standby:")
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
    suspect, mints = stored(world), len(world.personr.history)
    assert suspect.suspect(world.clock())
    wish = {"id": "wish", "force": True, "rejected_version": suspect.version}
    assert world.run(wish).reason == "too_young_to_reject"
    assert len(world.personr.history) == mints
    rejection = {"id": "rejection", "rejected_version": suspect.version}
    assert world.run(rejection).reason == "rejected"
