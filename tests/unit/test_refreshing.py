"""The protocol, path by path: calls, outcomes, what lies where afterwards."""

import json
from collections import Counter
from collections.abc import Callable
from copy import replace
from datetime import timedelta

import pytest

from tests.simulation import (
    CREDENTIALS,
    EMAIL,
    MINT,
    TOKEN,
    Call,
    Fault,
    Killed,
    Kind,
    Process,
    RefreshProcess,
    SteppedRun,
    Weather,
    World,
)
from token_vending.credentials import Credentials
from token_vending.due import LEASE, Rules
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    StoreUnavailable,
    VendorProtocolError,
    VendorUnavailable,
)
from token_vending.ports import Minted
from token_vending.refreshing import Report
from token_vending.token import Token

FORCED = {"id": "forced", "force": True}
TICK = {"id": "tick"}
GET, DESCRIBE, PUT, LABEL = "GetSecretValue", "DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage"
WHOLE_REFRESH = [GET, GET, DESCRIBE, PUT, LABEL, GET, MINT, PUT, LABEL]


@pytest.fixture
def world() -> World:
    """A stack with right credentials and a working token."""
    return minted(World())


def minted(world: World) -> World:
    world.set_credentials("right")
    if world.standby:
        world.set_credentials("right too", standby=True)
    world.run({"id": "first"})
    assert world.token_works()
    return world


def current(world: World) -> Token:
    token = world.token()
    assert token is not None
    return token


def after(operation: str, skip: int, fault: Fault, *, goes_on: bool = False) -> Weather:
    """The fault befalls a call of that operation after `skip` that it spares, and if it goes on all after it."""
    seen = Counter[str]()

    def weather(call: Call) -> Fault | None:
        seen[call.operation] += 1
        number = seen[operation] - 1
        hit = call.operation == operation and (number == skip or (goes_on and number > skip))
        return fault if hit else None

    return weather


def step_to(run: SteppedRun, operation: str) -> None:
    while run.pending is not None and run.pending.operation != operation:
        run.step()


class OddVendor:
    """The vendor, but for a warning with each token."""

    def __init__(self, wire: Process) -> None:
        self._wire = wire

    def mint(self, credentials: Credentials, *, timeout: float) -> Minted:
        return replace(self._wire.mint(credentials, timeout=timeout), warning="odd expiry")

    def answers_to(self, token: Token, *, timeout: float) -> bool | None:
        return self._wire.answers_to(token, timeout=timeout)


def operations(process: RefreshProcess) -> list[str]:
    return [call.operation for call in process.wire.calls]


def stored_but_not(world: World, event: object = FORCED) -> RefreshProcess:
    """A run that minted and could not store; its process lives on with the token."""
    process = world.refresh_process()
    with pytest.raises(StoreUnavailable, match="could not be stored"):
        world.run(event, process=process, weather=after(PUT, 1, Fault(Kind.THROTTLED), goes_on=True))
    assert not world.token_works()
    return process


# Budgets -------------------------------------------------------------------------------------------------


def test_a_fresh_tick_makes_three_calls(world: World) -> None:
    process = world.refresh_process()
    assert world.run(TICK, process=process).outcome == "fresh"
    assert operations(process) == [GET, GET, DESCRIBE]


def test_a_refresh_makes_eight_calls_and_one_mint(world: World) -> None:
    process = world.refresh_process()
    assert world.run(FORCED, process=process).outcome == "refreshed"
    assert operations(process) == WHOLE_REFRESH


def test_so_does_the_very_first_one() -> None:
    world = World()
    world.set_credentials("right")
    process = world.refresh_process()
    assert world.run(TICK, process=process).reason == "no_token"
    assert operations(process) == WHOLE_REFRESH
    assert world.lock() is None


def test_a_second_account_costs_one_call_more() -> None:
    world = minted(World(standby=True))
    process = world.refresh_process()
    world.run(FORCED, process=process)
    assert len(operations(process)) == len(WHOLE_REFRESH) + 1
    assert operations(process).count(MINT) == 1


# What it answers -----------------------------------------------------------------------------------------


def test_a_report_tells_version_and_expiry_and_no_token(world: World) -> None:
    report = world.run(FORCED)
    token = current(world)
    assert report.answer() == {
        "outcome": "refreshed",
        "version": token.version,
        "expires_at": token.expires_at.isoformat().replace("+00:00", "Z"),
        "reason": "forced",
    }
    assert token.access_token() not in repr(report) + json.dumps(report.answer())


def test_without_a_token_a_report_has_neither() -> None:
    world = World()
    world.set_credentials("wrong", at_vendor=False)
    with pytest.raises(CredentialsRefused):
        world.run(TICK)
    report = world.run({"id": "next tick"})
    assert (report.outcome, report.answer()["version"], report.answer()["expires_at"]) == (
        "refused",
        None,
        None,
    )


def test_the_token_says_whose_it_is_and_why(world: World) -> None:
    world.run(FORCED)
    token = current(world)
    assert token.reason == "forced"
    assert token.credentials_version == world.secrets.holder(CREDENTIALS, "AWSCURRENT")
    assert token.user_id == "1x1"
    assert token.suspect_until is None


def test_an_odd_expiry_is_a_warning(world: World) -> None:
    process = world.refresh_process()
    process.refresher.vendor = OddVendor(process.wire)
    assert world.run(FORCED, process=process).warnings == ("odd expiry",)
    assert world.token_works()


# Nothing is minted where nothing may be --------------------------------------------------------------------


def test_credentials_that_were_never_set() -> None:
    with pytest.raises(ConfigurationError, match="never set"):
        World().run(TICK)


def test_a_secret_that_somebody_overwrote_stops_ticks_and_rejections(world: World) -> None:
    overwritten = world.secrets.put(TOKEN, "pasted by hand")
    before = len(world.personr.history)
    for event in (TICK, {"rejected_version": overwritten}, {"force": True, "rejected_version": overwritten}):
        with pytest.raises(ConfigurationError):
            world.run(event)
    assert len(world.personr.history) == before


def test_a_person_can_mint_over_it(world: World) -> None:
    world.secrets.put(TOKEN, "pasted by hand")
    assert world.run(FORCED).outcome == "refreshed"
    assert world.token_works()


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.THROTTLED, Kind.QUOTA, Kind.UNREACHED])
@pytest.mark.parametrize("call", range(6))
def test_if_the_store_fails_before_the_mint_the_old_token_lives_on(
    world: World, call: int, kind: Kind
) -> None:
    before = len(world.personr.sent)
    with pytest.raises(StoreUnavailable):
        world.run(FORCED, weather=lambda made: Fault(kind) if made.index == call else None)
    assert world.token_works()
    assert len(world.personr.sent) == before
    assert world.lock() is None


# The lock ------------------------------------------------------------------------------------------------


def test_a_run_that_finds_the_lock_held_is_busy(world: World) -> None:
    first = world.begin(FORCED)
    step_to(first, MINT)
    before = len(world.personr.sent)
    assert world.run({"id": "another", "force": True}).outcome == "busy"
    assert len(world.personr.sent) == before
    first.finish()
    assert world.token_works()


def test_a_run_that_loses_the_race_for_the_lock_is_busy(world: World) -> None:
    loser = world.begin({"id": "loser", "force": True})
    step_to(loser, LABEL)
    winner = world.begin({"id": "winner", "force": True})
    step_to(winner, MINT)
    loser.finish()
    assert loser.result.outcome == "busy"
    winner.finish()
    assert winner.result.outcome == "refreshed"
    assert world.token_works()


def test_a_run_that_comes_second_looks_again_under_the_lock(world: World) -> None:
    world.clock.advance(timedelta(days=21))
    second = world.begin({"id": "second tick"})
    step_to(second, LABEL)
    assert world.run({"id": "first tick"}).outcome == "refreshed"
    second.finish()
    assert second.result.outcome == "fresh"
    assert world.lock() is None
    assert world.token_works()


@pytest.mark.parametrize(
    ("waited", "outcome"), [(LEASE - timedelta(seconds=1), "busy"), (LEASE, "refreshed")]
)
def test_a_dead_runs_lock_is_taken_over_after_its_lease(
    world: World, waited: timedelta, outcome: str
) -> None:
    dead = world.begin(FORCED)
    step_to(dead, MINT)
    lock = world.lock()
    assert lock is not None
    assert lock.started_at is not None
    dead.kill()
    # The first three calls of the next run take 0.06 s.
    world.clock.advance(lock.started_at + waited - world.clock() - timedelta(seconds=0.08))
    assert world.run(TICK).outcome == outcome


def test_a_takeover_says_why_and_is_suspect(world: World) -> None:
    with pytest.raises(Killed):
        world.run(FORCED, weather=after(MINT, 0, Fault(Kind.CRASH_AFTER)))
    assert not world.token_works()
    world.clock.advance(LEASE)
    assert world.run(TICK).reason == "unfinished_intent"
    assert world.token_works()
    assert current(world).suspect(world.clock())


def test_a_run_that_fails_alive_gives_its_lease_up(world: World) -> None:
    with pytest.raises(VendorProtocolError):
        world.run(FORCED, weather=after(MINT, 0, Fault(Kind.UNREADABLE)))
    assert not world.token_works()
    assert world.run(TICK).outcome == "refreshed"
    assert world.token_works()


def test_the_next_one_that_fails_alive_gives_up_its_own(world: World) -> None:
    for number in range(3):
        with pytest.raises(VendorProtocolError):
            world.run({"id": str(number)} | FORCED, weather=after(MINT, 0, Fault(Kind.UNREADABLE)))
        lock = world.lock()
        assert lock is not None
        assert world.secrets.holder(TOKEN, "ABANDONED") == lock.version
    assert world.run(TICK).outcome == "refreshed"
    assert world.lock() is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(Kind.WRONG_ADDRESS), ConfigurationError),
        (Fault(Kind.RATE_LIMITED), VendorUnavailable),
        (Fault(Kind.UNREACHED), VendorUnavailable),
    ],
)
def test_a_run_that_certainly_minted_nothing_leaves_no_lock(
    world: World, fault: Fault, error: type[Exception]
) -> None:
    with pytest.raises(error):
        world.run(FORCED, weather=after(MINT, 0, fault, goes_on=True))
    assert world.lock() is None
    assert world.token_works()


def test_and_an_older_question_stays_open(world: World) -> None:
    with pytest.raises(Killed):
        world.run(FORCED, weather=after(MINT, 0, Fault(Kind.CRASH_AFTER)))
    world.clock.advance(LEASE)
    with pytest.raises(VendorUnavailable):
        world.run(TICK, weather=after(MINT, 0, Fault(Kind.UNREACHED), goes_on=True))
    assert world.run({"id": "next tick"}).reason == "unfinished_intent"
    assert world.token_works()


def test_a_lock_on_something_that_is_no_intent_is_taken_over(world: World) -> None:
    version = current(world).version
    world.secrets.update_secret_version_stage(TOKEN, "MINTING", move_to=version)
    assert world.run(TICK).reason == "unfinished_intent"
    assert "MINTING" not in world.secrets.labels(TOKEN)


def test_so_is_one_on_something_that_somebody_pasted(world: World) -> None:
    version = world.secrets.new_version_id()
    world.secrets.put_secret_value(TOKEN, version, "pasted by hand", ["MINTING"])
    assert world.run(TICK).reason == "unfinished_intent"
    assert world.lock() is None
    assert world.token_works()


@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.UNREACHED])
def test_a_second_look_that_fails_gives_the_lock_back(world: World, kind: Kind) -> None:
    with pytest.raises(StoreUnavailable):
        world.run(FORCED, weather=after(GET, 2, Fault(kind)))
    assert world.lock() is None
    assert world.token_works()


def test_and_leaves_an_older_question_open(world: World) -> None:
    with pytest.raises(Killed):
        world.run(FORCED, weather=after(MINT, 0, Fault(Kind.CRASH_AFTER)))
    world.clock.advance(LEASE)
    # One read more than usual: of the intent that the lock lies on.
    with pytest.raises(StoreUnavailable):
        world.run(TICK, weather=after(GET, 3, Fault(Kind.DENIED)))
    assert world.run({"id": "next tick"}).reason == "unfinished_intent"
    assert world.token_works()


def test_a_lease_that_cannot_be_given_up_ends_by_itself(world: World) -> None:
    def weather(call: Call) -> Fault | None:
        if call.operation == MINT:
            return Fault(Kind.UNREADABLE)
        return Fault(Kind.DENIED) if call.index > WHOLE_REFRESH.index(MINT) else None

    with pytest.raises(VendorProtocolError):
        world.run(FORCED, weather=weather)
    assert world.run(TICK).outcome == "busy"
    world.clock.advance(LEASE)
    assert world.run({"id": "next tick"}).outcome == "refreshed"


def test_a_finished_lock_is_only_taken_off(world: World) -> None:
    process = world.refresh_process()
    with pytest.raises(Killed):
        world.run(FORCED, weather=after(LABEL, 1, Fault(Kind.CRASH_BEFORE)))
    assert world.lock() is not None
    assert world.run(TICK, process=process).outcome == "fresh"
    assert operations(process) == [GET, GET, DESCRIBE, GET, LABEL]
    assert world.lock() is None


def test_its_holder_does_not_mind(world: World) -> None:
    holder = world.begin(FORCED)
    step_to(holder, MINT)
    holder.step()
    holder.step()
    world.run(TICK)
    assert world.lock() is None
    holder.finish()
    assert holder.result.outcome == "refreshed"
    assert holder.result.warnings == ()


def test_a_lock_that_cannot_be_released_is_a_warning(world: World) -> None:
    report = world.run(FORCED, weather=after(LABEL, 1, Fault(Kind.DENIED)))
    assert report.outcome == "refreshed"
    assert ["could not be released" in warning for warning in report.warnings] == [True]
    assert world.run(TICK).outcome == "fresh"
    assert world.lock() is None


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.REPLAYED])
@pytest.mark.parametrize("taken_over", [False, True])
def test_a_lost_answer_about_the_lock_does_no_harm(world: World, kind: Kind, *, taken_over: bool) -> None:
    if taken_over:
        with pytest.raises(Killed):
            world.run(FORCED, weather=after(MINT, 0, Fault(Kind.CRASH_AFTER)))
        world.clock.advance(LEASE)
    weather = after(LABEL, 0, Fault(kind))
    if kind is Kind.LOST:
        with pytest.raises(StoreUnavailable):
            world.run(FORCED, weather=weather)
        assert taken_over == (world.lock() is not None)
    world.run({"id": "next", "force": True})
    assert world.token_works()
    assert world.lock() is None


# Storing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.UNREACHED, Kind.LOST, Kind.REPLAYED, Kind.DENIED])
def test_a_minted_token_is_stored_whatever_it_takes(world: World, kind: Kind) -> None:
    failures = 1 if kind is Kind.REPLAYED else 4
    left = [Fault(kind)] * failures

    def weather(call: Call) -> Fault | None:
        return left.pop() if call.operation == PUT and call.index > 6 and left else None

    assert world.run(FORCED, weather=weather).outcome == "refreshed"
    assert world.token_works()
    assert len(world.personr.sent) == 2


def test_a_token_that_could_not_be_stored_is_stored_by_the_next_run_of_the_process(world: World) -> None:
    process = stored_but_not(world)
    before = len(world.personr.sent)
    assert world.run(TICK, process=process).outcome == "refreshed"
    assert len(world.personr.sent) == before
    assert world.token_works()
    assert world.lock() is None
    assert process.refresher.unstored is None


def test_without_waiting_for_its_own_lease(world: World) -> None:
    process = stored_but_not(world)
    other = world.refresh_process()
    assert world.run(TICK, process=other).outcome == "busy"
    assert world.run(TICK, process=process).outcome == "refreshed"


def test_a_token_that_somebody_has_minted_after_is_not_stored(world: World) -> None:
    process = stored_but_not(world)
    world.clock.advance(LEASE)
    assert world.run(TICK).outcome == "refreshed"
    stored = current(world)
    assert world.run({"id": "next tick"}, process=process).outcome == "fresh"
    assert current(world) == stored
    world.run({"id": "another", "force": True}, process=process)
    assert world.token_works()
    assert len(world.personr.sent) == 4


def test_nor_one_whose_lock_another_run_holds(world: World) -> None:
    process = stored_but_not(world)
    world.clock.advance(LEASE)
    other = world.begin(TICK)
    step_to(other, MINT)
    other.step()
    other.kill()
    world.clock.advance(LEASE)
    before = len(world.personr.sent)
    assert world.run({"id": "next tick"}, process=process).outcome == "refreshed"
    assert len(world.personr.sent) == before + 1
    assert world.token_works()


def test_an_unstored_token_does_not_show_itself(world: World) -> None:
    process = stored_but_not(world)
    unstored = process.refresher.unstored
    assert unstored is not None
    secret = world.personr.live_token(EMAIL)
    assert secret is not None
    assert secret not in repr(unstored) + repr(process.refresher)


def test_a_put_that_took_effect_though_nobody_heard_it_is_finished(world: World) -> None:
    faults = [Fault(Kind.LOST)]

    def weather(call: Call) -> Fault | None:
        if call.operation != PUT or call.index < len(WHOLE_REFRESH) - 2:
            return None
        return faults.pop() if faults else Fault(Kind.THROTTLED)

    with pytest.raises(StoreUnavailable):
        world.run(FORCED, weather=weather)
    assert world.token_works()
    assert world.run(TICK).outcome == "fresh"
    assert world.lock() is None


# The latch -----------------------------------------------------------------------------------------------


@pytest.fixture
def refused() -> World:
    """A stack whose credentials have just been refused."""
    world = minted(World())
    world.set_credentials("wrong", at_vendor=False)
    with pytest.raises(CredentialsRefused):
        world.run({"id": "refused"})
    return world


def test_a_refusal_kills_nothing_and_leaves_no_lock(refused: World) -> None:
    assert refused.token_works()
    assert refused.lock() is None


@pytest.mark.parametrize(
    "event",
    [
        lambda _: {"id": "tick"},
        lambda _: {"id": "refused"},
        lambda world: {"rejected_version": current(world).version},
        lambda world: {"force": True, "rejected_version": current(world).version},
    ],
)
def test_refused_credentials_are_not_sent_again(
    refused: World, event: Callable[[World], dict[str, object]]
) -> None:
    before = len(refused.personr.sent)
    refused.clock.advance(timedelta(hours=1))
    assert refused.run(event(refused)).outcome == "refused"
    assert len(refused.personr.sent) == before


def test_new_ones_clear_the_latch(refused: World) -> None:
    refused.set_credentials("right again")
    assert refused.run({"id": "tick"}).outcome == "refreshed"
    assert refused.token_works()


def test_a_person_may_send_them_again_once(refused: World) -> None:
    before = len(refused.personr.sent)
    with pytest.raises(CredentialsRefused):
        refused.run(FORCED)
    assert len(refused.personr.sent) == before + 1
    assert refused.run(FORCED).outcome == "refused"
    assert len(refused.personr.sent) == before + 1


def test_and_once_more_with_another_event(refused: World) -> None:
    with pytest.raises(CredentialsRefused):
        refused.run(FORCED)
    refused.personr.set_password(EMAIL, "wrong")
    assert refused.run({"id": "another", "force": True}).outcome == "refreshed"
    assert refused.token_works()


def test_credentials_that_work_after_all_are_latched_no_longer(refused: World) -> None:
    """Mended at the vendor, and forced by a person: the ticks of later weeks must mint again."""
    refused.personr.set_password(EMAIL, "wrong")
    assert refused.run(FORCED).outcome == "refreshed"
    refused.clock.advance(timedelta(days=21))
    assert refused.run(TICK).outcome == "refreshed"
    assert refused.token_works()


def test_a_latch_that_cannot_be_taken_off_is_a_warning(refused: World) -> None:
    refused.personr.set_password(EMAIL, "wrong")
    report = refused.run(FORCED, weather=after(LABEL, 1, Fault(Kind.DENIED), goes_on=True))
    assert report.outcome == "refreshed"
    assert any("force once more" in warning for warning in report.warnings)


def test_latches_of_older_credentials_are_taken_off(refused: World) -> None:
    for number in range(30):
        refused.set_credentials(f"wrong-{number}", at_vendor=False)
        with pytest.raises(CredentialsRefused):
            refused.run({"id": str(number)})
    latches = [label for label in refused.secrets.labels(TOKEN) if label.startswith("REFUSED-")]
    assert latches == [f"REFUSED-{refused.secrets.holder(CREDENTIALS, 'AWSCURRENT')}"]


def test_a_latch_that_cannot_be_written_is_a_warning_and_no_other_error(world: World) -> None:
    world.set_credentials("wrong", at_vendor=False)
    with pytest.raises(CredentialsRefused):
        world.run(TICK, weather=after(LABEL, 1, Fault(Kind.THROTTLED), goes_on=True))
    assert world.token_works()


def test_a_latch_that_another_run_has_written_is_as_good(world: World) -> None:
    version = world.set_credentials("wrong", at_vendor=False)
    slow = world.begin(TICK)
    step_to(slow, MINT)
    elsewhere = world.secrets.holder(TOKEN, "AWSCURRENT")
    world.secrets.update_secret_version_stage(TOKEN, f"REFUSED-{version}", move_to=elsewhere)
    slow.finish()
    assert isinstance(slow.error, CredentialsRefused)
    assert world.secrets.holder(TOKEN, f"REFUSED-{version}") == elsewhere
    assert world.lock() is None


# Rejections ----------------------------------------------------------------------------------------------


def reject(world: World) -> Report:
    return world.run({"rejected_version": current(world).version})


def test_a_rejection_of_a_dead_token_heals(world: World) -> None:
    world.clock.advance(timedelta(minutes=15))
    world.personr.mint_elsewhere(EMAIL)
    assert reject(world).outcome == "refreshed"
    assert world.token_works()
    assert current(world).early_deaths == (current(world).issued_at,)


def test_three_within_the_hour_are_somebody_else(world: World) -> None:
    for _ in range(2):
        world.clock.advance(timedelta(minutes=15))
        assert reject(world).reason == "rejected"
    world.clock.advance(timedelta(minutes=15))
    assert reject(world).reason == "foreign_minter"
    world.clock.advance(timedelta(minutes=30))
    assert reject(world).reason == "rejected"


def test_a_broken_caller_cannot_mint_more_than_the_rule_allows(world: World) -> None:
    before = len(world.personr.sent)
    for minute in range(60):
        world.clock.advance(timedelta(minutes=1))
        world.run({"id": str(minute), "rejected_version": current(world).version})
    assert len(world.personr.sent) - before == 2


def test_with_a_probe_a_working_token_is_not_believed_dead() -> None:
    world = minted(World(probe=True))
    world.clock.advance(timedelta(minutes=15))
    report = reject(world)
    assert (report.outcome, report.reason) == ("fresh", "probe_succeeded")
    assert len(world.personr.sent) == 1


def test_and_a_dead_one_is() -> None:
    world = minted(World(probe=True))
    world.clock.advance(timedelta(minutes=15))
    world.personr.mint_elsewhere(EMAIL)
    assert reject(world).outcome == "refreshed"


def test_a_probe_that_tells_nothing_leaves_the_rejection_believed() -> None:
    world = minted(World(probe=True))
    world.clock.advance(timedelta(minutes=15))
    report = world.run(
        {"rejected_version": current(world).version}, weather=after("Probe", 0, Fault(Kind.UNREACHED))
    )
    assert report.outcome == "refreshed"
    assert len(report.warnings) == 1


# Two accounts --------------------------------------------------------------------------------------------


@pytest.fixture
def two() -> World:
    """A stack with a standby account, its token minted by the primary."""
    return minted(World(standby=True))


def test_refreshes_alternate_and_the_token_before_stays_alive(two: World) -> None:
    for number in range(4):
        before = current(two)
        assert two.run({"id": str(number), "force": True}).outcome == "refreshed"
        assert two.token_works()
        assert two.personr.works(before.access_token())
        assert current(two).credentials_version.startswith(
            "standby:"
        ) != before.credentials_version.startswith("standby:")


def test_a_crash_after_the_mint_leaves_the_current_token_alive(two: World) -> None:
    with pytest.raises(Killed):
        two.run(FORCED, weather=after(MINT, 0, Fault(Kind.CRASH_AFTER)))
    assert two.token_works()
    two.clock.advance(LEASE)
    assert two.run(TICK).outcome == "refreshed"
    assert two.token_works()


def test_a_standby_that_was_never_set_is_a_warning() -> None:
    world = World(standby=True)
    world.set_credentials("right")
    world.run(TICK)
    report = world.run(FORCED)
    assert report.outcome == "refreshed"
    assert "cannot be used" in report.warnings[0]


def test_a_latched_standby_is_passed_over(two: World) -> None:
    two.set_credentials("wrong", at_vendor=False, standby=True)
    with pytest.raises(CredentialsRefused):
        two.run(FORCED)
    assert (
        two.run({"id": "another", "force": True, "rejected_version": current(two).version}).outcome == "fresh"
    )
    two.clock.advance(timedelta(days=21))
    assert two.run(TICK).outcome == "refreshed"
    assert two.token_works()


def test_only_the_minting_accounts_credentials_make_a_refresh_due(two: World) -> None:
    two.set_credentials("new", standby=True)
    assert two.run(TICK).outcome == "fresh"
    two.set_credentials("new")
    assert two.run(TICK).reason == "credentials_changed"


# Settings ------------------------------------------------------------------------------------------------


def test_a_short_lived_token_is_not_minted_again_and_again() -> None:
    world = World(rules=Rules(max_age=None))
    world.personr.lifetime = timedelta(days=10)
    world.set_credentials("right")
    for tick in range(24 * 4 * 6):
        world.run({"id": str(tick)})
        world.clock.advance(timedelta(minutes=15))
    # One for want of a token, one because it is born inside the window, one at half-life.
    assert len(world.personr.sent) == 3
    assert world.token_works()
