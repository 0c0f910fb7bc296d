"""The protocol, path by path: calls, outcomes, what lies where afterwards."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
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
from tests.simulation.secrets_manager import MAX_VERSIONS
from token_vending.credentials import Credentials, account_of
from token_vending.due import LEASE
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
LIST = "ListSecretVersionIds"
WHOLE_REFRESH = [DESCRIBE, GET, GET, LIST, PUT, MINT, PUT, LABEL]


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


def fail(
    world: World, error: type[BaseException], event: Mapping[str, object], operation: str, fault: Fault
) -> None:
    """A run that ends with this error, since the fault befalls each of these calls."""
    with pytest.raises(error):
        world.run(event, weather=after(operation, 0, fault, goes_on=True))


def die_after_the_mint(world: World, event: Mapping[str, object]) -> None:
    """A run that is killed when the vendor has minted and nothing is stored, and its lease."""
    fail(world, Killed, event, MINT, Fault(Kind.CRASH_AFTER))
    world.clock.advance(LEASE)


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


# Budgets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "standby", "calls"),
    [
        (TICK, False, [DESCRIBE, GET, GET]),
        (FORCED, False, WHOLE_REFRESH),
        (FORCED, True, [DESCRIBE, GET, GET, GET, *WHOLE_REFRESH[3:]]),
    ],
    ids=["fresh", "refreshed", "refreshed, two accounts"],
)
def test_a_run_makes_these_calls(event: dict[str, object], *, standby: bool, calls: list[str]) -> None:
    world = minted(World(standby=standby))
    process = world.refresh_process()
    world.run(event, process=process)
    assert operations(process) == calls


def test_a_fresh_tick_makes_three_calls_after_a_failed_run_as_well(world: World) -> None:
    """It read the failed run's intent each time, until the next success: weeks later."""
    fail(world, VendorUnavailable, FORCED, MINT, Fault(Kind.RATE_LIMITED))
    process = world.refresh_process()
    assert world.run(TICK, process=process).outcome == "fresh"
    assert operations(process) == [DESCRIBE, GET, GET]


# What it answers -----------------------------------------------------------------------------------------


def test_a_report_tells_the_new_tokens_version_and_expiry_and_not_the_token(world: World) -> None:
    report = world.run(FORCED)
    token = current(world)
    assert report.answer() == {
        "outcome": "refreshed",
        "version": token.version,
        "expires_at": token.expires_at.isoformat().replace("+00:00", "Z"),
        "reason": "forced",
    }
    assert token.access_token() not in repr(report) + json.dumps(report.answer())
    assert token.credentials_version == world.secrets.holder(CREDENTIALS, "AWSCURRENT")
    assert (token.reason, token.user_id, token.suspect_until) == ("forced", "1x1", None)


def test_without_a_token_a_report_has_neither() -> None:
    world = World()
    world.set_credentials("wrong", at_vendor=False)
    with pytest.raises(CredentialsRefused):
        world.run(TICK)
    report = world.run({"id": "next tick"})
    answer = report.answer()
    assert (report.outcome, answer["version"], answer["expires_at"]) == ("refused", None, None)


def test_an_odd_expiry_is_a_warning(world: World) -> None:
    process = world.refresh_process()
    process.refresher.issuer = OddVendor(process.wire)
    assert world.run(FORCED, process=process).warnings == ("odd expiry",)
    assert world.token_works()


# Nothing is minted where nothing may be --------------------------------------------------------------------


def test_a_secret_that_somebody_overwrote_stops_ticks_and_rejections_and_a_person_mints_over_it(
    world: World,
) -> None:
    overwritten = world.secrets.put(TOKEN, "pasted by hand")
    before = len(world.personr.history)
    for event in (TICK, {"rejected_version": overwritten}, {"force": True, "rejected_version": overwritten}):
        with pytest.raises(ConfigurationError):
            world.run(event)
    assert len(world.personr.history) == before
    assert world.run(FORCED).outcome == "refreshed"
    assert world.token_works()


# The claim and the lock ----------------------------------------------------------------------------------


def test_a_run_that_finds_the_lock_held_is_busy(world: World) -> None:
    first = world.begin(FORCED)
    step_to(first, MINT)
    before = len(world.personr.sent)
    assert world.run({"id": "another", "force": True}).outcome == "busy"
    assert len(world.personr.sent) == before
    first.finish()
    assert world.token_works()


def test_an_intent_whose_answer_was_lost_is_the_runs_own(world: World) -> None:
    assert world.run(FORCED, weather=after(PUT, 0, Fault(Kind.REPLAYED))).outcome == "refreshed"
    assert world.token_works()


def test_a_label_moved_by_hand_does_not_stop_later_runs(world: World) -> None:
    first = world.secrets.holder(TOKEN, "INTENT")
    fail(world, VendorUnavailable, FORCED, MINT, Fault(Kind.UNREACHED))
    latest = world.secrets.holder(TOKEN, "INTENT")
    world.secrets.update_secret_version_stage(TOKEN, "INTENT", move_to=first, remove_from=latest)
    assert world.run({"id": "soon", "force": True}).outcome == "busy"
    world.clock.advance(LEASE)
    assert world.run({"id": "later", "force": True}).outcome == "refreshed"
    assert world.token_works()


def test_a_version_that_cannot_be_read_yet_is_tried_again_later(world: World) -> None:
    alive = world.begin(FORCED)
    step_to(alive, MINT)
    lagging = after(GET, 1, Fault(Kind.STALE, mutations=2))
    with pytest.raises(StoreUnavailable, match="cannot be read yet"):
        world.run(TICK, weather=lagging)
    alive.finish()
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
    # The first four calls of the next run take 0.08 s.
    world.clock.advance(lock.started_at + waited - world.clock() - timedelta(seconds=0.08))
    assert world.run(TICK).outcome == outcome


def test_a_takeover_says_why_and_is_suspect(world: World) -> None:
    die_after_the_mint(world, FORCED)
    assert not world.token_works()
    assert world.run(TICK).reason == "unfinished_intent"
    assert world.token_works()
    assert current(world).suspect(world.clock())


def test_the_next_one_that_fails_alive_gives_up_its_own(world: World) -> None:
    for number in range(3):
        fail(world, VendorProtocolError, {"id": str(number), "force": True}, MINT, Fault(Kind.UNREADABLE))
        lock = world.lock()
        assert lock is not None
        assert world.secrets.holder(TOKEN, "ABANDONED") == lock.version
    assert world.run(TICK).outcome == "refreshed"
    assert world.lock() is None


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Kind.WRONG_ADDRESS, ConfigurationError),
        (Kind.RATE_LIMITED, VendorUnavailable),
        (Kind.UNREACHED, VendorUnavailable),
    ],
)
def test_a_run_that_certainly_minted_nothing_leaves_no_lock(
    world: World, kind: Kind, error: type[Exception]
) -> None:
    fail(world, error, FORCED, MINT, Fault(kind))
    assert world.lock() is None
    assert world.token_works()


def test_a_lock_on_a_token_asks_no_question_and_is_taken_off(world: World) -> None:
    version = current(world).version
    world.secrets.update_secret_version_stage(TOKEN, "MINTING", move_to=version)
    assert world.run(TICK).outcome == "fresh"
    assert "MINTING" not in world.secrets.labels(TOKEN)
    assert len(world.personr.sent) == 1


def test_a_lock_on_something_that_nobody_can_read_is_taken_over(world: World) -> None:
    version = world.secrets.new_version_id()
    world.secrets.put_secret_value(TOKEN, version, "pasted by hand", ["MINTING"])
    assert world.run(TICK).reason == "unfinished_intent"
    assert world.lock() is None
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


def test_a_run_whose_finished_lock_somebody_took_off_ends_well(world: World) -> None:
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
    report = world.run(FORCED, weather=after(LABEL, 0, Fault(Kind.DENIED)))
    assert report.outcome == "refreshed"
    assert ["could not be released" in warning for warning in report.warnings] == [True]
    assert world.run(TICK).outcome == "fresh"
    assert world.lock() is None


# Storing -------------------------------------------------------------------------------------------------


def test_a_token_that_could_not_be_stored_is_minted_anew_by_the_next_run(world: World) -> None:
    with pytest.raises(StoreUnavailable, match="could not be stored"):
        world.run(FORCED, weather=after(PUT, 1, Fault(Kind.THROTTLED), goes_on=True))
    assert not world.token_works()
    world.clock.advance(LEASE)
    assert world.run(TICK).reason == "unfinished_intent"
    assert world.token_works()


# The latch -----------------------------------------------------------------------------------------------


@pytest.fixture
def refused() -> World:
    """A stack whose credentials have just been refused."""
    world = minted(World())
    world.set_credentials("wrong", at_vendor=False)
    with pytest.raises(CredentialsRefused):
        world.run({"id": "refused"})
    return world


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


def test_credentials_that_work_after_all_are_latched_no_longer(refused: World) -> None:
    """Mended at the vendor, and forced by a person: the ticks of later weeks must mint again."""
    refused.personr.set_password(EMAIL, "wrong")
    assert refused.run(FORCED).outcome == "refreshed"
    refused.clock.advance(timedelta(days=21))
    assert refused.run(TICK).outcome == "refreshed"
    assert refused.token_works()


def test_a_latch_that_cannot_be_taken_off_is_a_warning(refused: World) -> None:
    refused.personr.set_password(EMAIL, "wrong")
    report = refused.run(FORCED, weather=after(LABEL, 0, Fault(Kind.DENIED), goes_on=True))
    assert report.outcome == "refreshed"
    assert any("force once more" in warning for warning in report.warnings)


def test_a_latch_that_cannot_be_written_is_a_warning_and_no_other_error(world: World) -> None:
    world.set_credentials("wrong", at_vendor=False)
    fail(world, CredentialsRefused, TICK, LABEL, Fault(Kind.THROTTLED))
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


def test_a_rejection_of_a_dead_token_heals_and_is_remembered(world: World) -> None:
    world.clock.advance(timedelta(minutes=15))
    world.personr.mint_elsewhere(EMAIL)
    reported = world.clock()
    assert reject(world).outcome == "refreshed"
    assert world.token_works()
    (caused,) = current(world).history.caller_mints
    assert timedelta(0) <= caused - reported < timedelta(seconds=1)


def test_what_callers_caused_is_carried_on_by_ticks_and_takeovers(world: World) -> None:
    world.clock.advance(timedelta(minutes=15))
    die_after_the_mint(world, {"rejected_version": current(world).version})
    assert world.run(TICK).reason == "unfinished_intent"
    caused = current(world).history.caller_mints
    assert len(caused) == 1
    assert world.run(FORCED).reason == "forced"
    assert current(world).history.caller_mints == caused


def test_a_mint_for_callers_that_certainly_failed_is_not_counted(world: World) -> None:
    world.clock.advance(timedelta(minutes=15))
    fail(world, VendorUnavailable, {"rejected_version": current(world).version}, MINT, Fault(Kind.UNREACHED))
    assert reject(world).outcome == "refreshed"
    assert len(current(world).history.caller_mints) == 1


@pytest.mark.parametrize(
    ("age", "dead", "fault", "reason", "warnings"),
    [
        (timedelta(minutes=15), False, None, "probe_succeeded", 0),
        (timedelta(seconds=5), True, None, "rejected", 0),
        (timedelta(minutes=15), False, Fault(Kind.UNREACHED), "rejected", 1),
    ],
    ids=["works", "dead and young", "tells nothing"],
)
def test_the_probe_decides_about_a_reported_token_if_it_can_tell(
    age: timedelta, fault: Fault | None, reason: str, warnings: int, *, dead: bool
) -> None:
    world = minted(World(probe=True))
    world.clock.advance(age)
    if dead:
        world.personr.mint_elsewhere(EMAIL)
    rejection = {"rejected_version": current(world).version}
    report = world.run(rejection, weather=lambda call: fault if call.operation == "Probe" else None)
    assert (report.reason, len(report.warnings)) == (reason, warnings)
    assert report.outcome == ("refreshed" if reason == "rejected" else "fresh")
    assert world.token_works()


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
        accounts = {account_of(token.credentials_version) for token in (before, current(two))}
        assert accounts == {"", "standby"}


def test_a_crash_after_the_mint_leaves_the_current_token_alive(two: World) -> None:
    die_after_the_mint(two, FORCED)
    assert two.token_works()
    assert two.run(TICK).outcome == "refreshed"
    assert two.token_works()


def test_a_standby_that_was_never_set_is_a_warning() -> None:
    world = World(standby=True)
    world.set_credentials("right")
    world.run(TICK)
    report = world.run(FORCED)
    assert report.outcome == "refreshed"
    assert "cannot be used" in report.warnings[0]


def test_without_usable_credentials_of_either_account_a_run_fails_and_asks_no_vendor() -> None:
    world = World(standby=True)
    with pytest.raises(ConfigurationError, match="credentials secret"):
        world.run(TICK)
    assert world.personr.sent == []


def test_only_the_minting_accounts_credentials_make_a_refresh_due(two: World) -> None:
    two.set_credentials("new", standby=True)
    assert two.run(TICK).outcome == "fresh"
    two.set_credentials("new")
    assert two.run(TICK).reason == "credentials_changed"


# Room ----------------------------------------------------------------------------------------------------


def fill(world: World, *, room: int) -> None:
    while len(world.secrets.versions(TOKEN)) < MAX_VERSIONS - room:
        world.secrets.put_secret_value(TOKEN, world.secrets.new_version_id(), "{}", ["UNUSED"])


@pytest.mark.parametrize("room", [0, 1])
def test_without_room_for_intent_and_token_nothing_is_minted(world: World, room: int) -> None:
    fill(world, room=room)
    with pytest.raises(StoreUnavailable, match="no room"):
        world.run(FORCED)
    assert world.token_works()
    assert len(world.personr.sent) == 1
    world.clock.advance(timedelta(days=1, seconds=1))
    assert world.run({"id": "a day later", "force": True}).outcome == "refreshed"
    assert world.token_works()


def test_with_room_for_two_versions_a_person_mints_and_a_caller_does_not(world: World) -> None:
    fill(world, room=2)
    world.clock.advance(timedelta(minutes=15))
    with pytest.raises(StoreUnavailable, match="no room"):
        reject(world)
    assert world.run(FORCED).outcome == "refreshed"
    assert world.token_works()


def test_if_the_versions_cannot_be_counted_only_a_quiet_stack_goes_on(world: World) -> None:
    report = world.run(FORCED, weather=after(LIST, 0, Fault(Kind.DENIED)))
    assert report.outcome == "refreshed"
    assert any("could not be counted" in warning for warning in report.warnings)
    for number in range(12):
        fail(world, VendorUnavailable, {"id": str(number), "force": True}, MINT, Fault(Kind.UNREACHED))
    fail(world, StoreUnavailable, {"id": "x", "force": True}, LIST, Fault(Kind.DENIED))
    assert world.token_works()
