"""The protocol, path by path: calls, outcomes, what lies where afterwards."""

import json
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
    RefreshProcess,
    Weather,
    World,
)
from tests.simulation.secrets_manager import MAX_VERSIONS
from token_vending.credentials import account_of
from token_vending.due import LEASE
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    StoreUnavailable,
    VendorProtocolError,
    VendorUnavailable,
)
from token_vending.ports import Minted

FORCED = {"id": "forced", "force": True}
TICK = {"id": "tick"}
GET, DESCRIBE, PUT, LABEL = "GetSecretValue", "DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage"
LIST = "ListSecretVersionIds"
WHOLE_REFRESH = [DESCRIBE, GET, GET, LIST, PUT, MINT, PUT, LABEL]


@pytest.fixture
def world() -> World:
    """A stack with right credentials and a working token."""
    return World().minted()


def always(operation: str, fault: Fault) -> Weather:
    """The fault befalls each of these calls."""
    return lambda call: fault if call.operation == operation else None


def fail(world: World, error: type[BaseException], event: object, operation: str, fault: Fault) -> None:
    """A run that ends with this error, since the fault befalls each of these calls."""
    with pytest.raises(error):
        world.run(event, weather=always(operation, fault))


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
    world = World(standby=standby).minted()
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
    token = world.stored()
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
    while first.pending != Call(WHOLE_REFRESH.index(MINT), MINT):
        first.step()
    before = len(world.personr.sent)
    assert world.run({"id": "another", "force": True}).outcome == "busy"
    assert len(world.personr.sent) == before
    first.finish()
    assert world.token_works()


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
    version = world.stored().version
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


def test_a_lock_that_cannot_be_released_is_a_warning(world: World) -> None:
    report = world.run(FORCED, weather=always(LABEL, Fault(Kind.DENIED)))
    assert report.outcome == "refreshed"
    assert ["could not be released" in warning for warning in report.warnings] == [True]
    assert world.run(TICK).outcome == "fresh"
    assert world.lock() is None


# The latch -----------------------------------------------------------------------------------------------


@pytest.fixture
def refused() -> World:
    """A stack whose credentials have just been refused."""
    world = World().minted()
    world.set_credentials("wrong", at_vendor=False)
    with pytest.raises(CredentialsRefused):
        world.run({"id": "refused"})
    return world


def test_credentials_that_work_after_all_are_latched_no_longer(refused: World) -> None:
    """Mended at the vendor, and forced by a person: the ticks of later weeks must mint again."""
    refused.personr.set_password(EMAIL, "wrong")
    assert refused.run(FORCED).outcome == "refreshed"
    refused.clock.advance(timedelta(days=21))
    assert refused.run(TICK).outcome == "refreshed"
    assert refused.token_works()


def test_a_latch_that_cannot_be_taken_off_is_a_warning(refused: World) -> None:
    refused.personr.set_password(EMAIL, "wrong")
    report = refused.run(FORCED, weather=always(LABEL, Fault(Kind.DENIED)))
    assert report.outcome == "refreshed"
    assert any("force once more" in warning for warning in report.warnings)


# Rejections ----------------------------------------------------------------------------------------------


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
    world = World(probe=True).minted()
    world.clock.advance(age)
    if dead:
        world.personr.mint_elsewhere(EMAIL)
    rejection = {"rejected_version": world.stored().version}
    report = world.run(rejection, weather=lambda call: fault if call.operation == "Probe" else None)
    assert (report.reason, len(report.warnings)) == (reason, warnings)
    assert report.outcome == ("refreshed" if reason == "rejected" else "fresh")
    assert world.token_works()


# Two accounts --------------------------------------------------------------------------------------------


@pytest.fixture
def two() -> World:
    """A stack with a standby account, its token minted by the primary."""
    return World(standby=True).minted()


def test_refreshes_alternate_and_the_token_before_stays_alive(two: World) -> None:
    for number in range(4):
        before = two.stored()
        assert two.run({"id": str(number), "force": True}).outcome == "refreshed"
        assert two.token_works()
        assert two.personr.works(before.access_token())
        accounts = {account_of(token.credentials_version) for token in (before, two.stored())}
        assert accounts == {"", "standby"}


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
        world.run({"rejected_version": world.stored().version})
    assert world.run(FORCED).outcome == "refreshed"
    assert world.token_works()


def test_if_the_versions_cannot_be_counted_only_a_quiet_stack_goes_on(world: World) -> None:
    report = world.run(FORCED, weather=always(LIST, Fault(Kind.DENIED)))
    assert report.outcome == "refreshed"
    assert any("could not be counted" in warning for warning in report.warnings)
    for number in range(12):
        fail(world, VendorUnavailable, {"id": str(number), "force": True}, MINT, Fault(Kind.UNREACHED))
    fail(world, StoreUnavailable, {"id": "x", "force": True}, LIST, Fault(Kind.DENIED))
    assert world.token_works()


# What seldom happens -------------------------------------------------------------------------------------


def test_a_standby_that_was_never_set_is_a_warning() -> None:
    world = World(standby=True)
    world.set_credentials("right")
    world.run(TICK)
    report = world.run(FORCED)
    assert report.outcome == "refreshed"
    assert "cannot be used" in report.warnings[0]


def test_an_odd_expiry_is_a_warning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    process = world.refresh_process()
    odd = Minted(world.personr.mint(EMAIL, "right").token, timedelta(days=365), None, "odd expiry")
    monkeypatch.setattr(process.wire, "mint", lambda *_, **__: odd)
    assert world.run(FORCED, process=process).warnings == ("odd expiry",)
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


def test_a_run_whose_finished_lock_somebody_took_off_ends_well(world: World) -> None:
    holder = world.begin(FORCED)
    while holder.pending != Call(WHOLE_REFRESH.index(LABEL), LABEL):
        holder.step()
    world.run(TICK)
    assert world.lock() is None
    holder.finish()
    assert (holder.result.outcome, holder.result.warnings) == ("refreshed", ())


def test_a_token_that_could_not_be_stored_is_minted_anew_by_the_next_run(world: World) -> None:
    def weather(call: Call) -> Fault | None:
        return (
            Fault(Kind.THROTTLED)
            if call.operation == PUT and call.index > WHOLE_REFRESH.index(MINT)
            else None
        )

    with pytest.raises(StoreUnavailable, match="could not be stored"):
        world.run(FORCED, weather=weather)
    assert not world.token_works()
    world.clock.advance(LEASE)
    assert world.run(TICK).reason == "unfinished_intent"
    assert world.token_works()
    assert world.stored().suspect(world.clock())


# What a run leaves to the next one -----------------------------------------------------------------------


def test_what_callers_caused_is_carried_on_by_ticks_and_takeovers(world: World) -> None:
    world.clock.advance(timedelta(minutes=15))
    fail(world, Killed, {"rejected_version": world.stored().version}, MINT, Fault(Kind.CRASH_AFTER))
    world.clock.advance(LEASE)
    assert world.run(TICK).reason == "unfinished_intent"
    caused = world.stored().history.caller_mints
    assert len(caused) == 1
    assert world.run(FORCED).reason == "forced"
    assert world.stored().history.caller_mints == caused


def test_a_mint_for_callers_that_certainly_failed_is_not_counted(world: World) -> None:
    world.clock.advance(timedelta(minutes=15))
    rejection = {"rejected_version": world.stored().version}
    fail(world, VendorUnavailable, rejection, MINT, Fault(Kind.UNREACHED))
    assert world.run({**rejection, "id": "again"}).outcome == "refreshed"
    assert len(world.stored().history.caller_mints) == 1


def test_each_run_that_fails_alive_gives_up_its_own_lease(world: World) -> None:
    for number in range(3):
        fail(world, VendorProtocolError, {"id": str(number), "force": True}, MINT, Fault(Kind.UNREADABLE))
        lock = world.lock()
        assert lock is not None
        assert world.secrets.holder(TOKEN, "ABANDONED") == lock.version
    assert world.run(TICK).outcome == "refreshed"
    assert world.lock() is None
