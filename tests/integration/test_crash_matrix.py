"""Killed before and after every outbound call: what AWS runs next puts it right.

The real function runs in the Lambda runtime client. A call is stopped at the wire, the process gets SIGKILL,
and only then the call is dropped or let through. Afterwards comes what AWS would do: the asynchronous retry of
the same event a minute later, then the next schedule tick.

Each scenario pins the calls that it makes, so the matrix cannot lose a point unnoticed.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.records import Observed, Record, note, seen
from tests.integration.world import CREDENTIALS, LEASE_SECONDS, MIN_AGE_SECONDS, MINT, TOKEN, Stage
from tests.kit.personr import DEFAULT_EMAIL
from tests.kit.runtime import LambdaFunction, Result
from tests.kit.runtime.function import KILLED
from tests.kit.secrets_manager.server import ACCOUNT_ID, REGION
from tests.kit.stand_ins.faults import hold_after, hold_before
from token_vending.history import FREE_FAILURES, LONGEST_PAUSE

pytestmark = pytest.mark.slow

REQUEST_ID = "11111111-2222-4333-8444-555555555555"
"""Lambda keeps the request id through the asynchronous retries of an event."""
DAY = 86_400
NEW_PASSWORD = "a new one"

GET, DESCRIBE, PUT, STAGE = "GetSecretValue", "DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage"
LIST = "ListSecretVersionIds"
REFRESH_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:refresh:live"
INVOKE = f"POST /2015-03-31/functions/{quote(REFRESH_ARN, safe='')}/invocations"


class Moment(StrEnum):
    """When the process dies, and what becomes of the call."""

    LOST = "before, no effect"
    LANDS = "before, takes effect all the same"
    AFTER = "after it took effect"


@dataclass(frozen=True)
class Scenario:
    """A run to be killed: how it comes about, its event, and the calls it makes, in order."""

    calls: tuple[str, ...]
    prepare: Callable[[Stage], None]
    event: Callable[[Stage], dict[str, Any]] = field(default=lambda _: {})
    mints: int = 1
    """How many mints it makes when nothing fails."""
    refused: bool = False
    """Whether the vendor refuses the credentials."""
    standby: bool = False
    """Whether the stack has a second account."""
    failures: int = 0
    """How many runs in a row have failed before it."""


def no_token(_: Stage) -> None:
    pass


def too_old(world: Stage) -> None:
    world.mint_first()
    world.age_token(22 * DAY)


def dead_by_a_foreign_mint(world: Stage) -> None:
    world.mint_first()
    world.age_token(MIN_AGE_SECONDS + 1)
    world.vendor.mint_elsewhere()


def left_unfinished(world: Stage) -> None:
    """A run minted and died, a while ago: the stored token is dead, the lock lies on its intent."""
    too_old(world)
    world.vendor.mint_elsewhere()
    leave_lock(world, run="run-that-died")


def left_finished(world: Stage) -> None:
    """A run stored its token and died before it took its lock away."""
    world.mint_first()
    leave_lock(world, run=str((world.stored or {})["run"]))


def given_up(world: Stage) -> None:
    """A run minted, could not tell, and gave up alive a moment ago: its lease is over before its time."""
    too_old(world)
    world.vendor.mint_elsewhere()
    leave_lock(world, run="run-that-gave-up", seconds_ago=3, labels=("INTENT", "MINTING", "ABANDONED"))


def turned_away_ten_times(world: Stage) -> None:
    """Ten runs in a row have failed and taken their lock away, and the pause after the last one is over."""
    too_old(world)
    leave_lock(
        world,
        run="run-that-failed",
        seconds_ago=LONGEST_PAUSE.total_seconds() + 5,
        labels=("INTENT",),
        failures=FREE_FAILURES - 1,
    )


def leave_lock(
    world: Stage,
    *,
    run: str,
    seconds_ago: float = LEASE_SECONDS + 5,
    labels: tuple[str, ...] = ("INTENT", "MINTING"),
    failures: int = 0,
) -> None:
    started_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_ago)
    intent = {"intent": run, "started_at": started_at.isoformat(), "reason": "too_old", "failures": failures}
    world.secrets.put(TOKEN, intent, labels)


def wrong_password(world: Stage) -> None:
    """Somebody changed the password at the vendor. The old token still works."""
    too_old(world)
    world.vendor.set_password(NEW_PASSWORD)


def working(world: Stage) -> None:
    world.mint_first()


def expired(world: Stage) -> None:
    world.mint_first()
    world.age_token(366 * DAY)


def current_version(world: Stage) -> dict[str, Any]:
    return {"rejected_version": world.version}


READ = (DESCRIBE, GET, GET)
CLAIM = (LIST, PUT)
REFRESH = (*READ, *CLAIM, MINT, PUT, STAGE)
AFTER_ANOTHER = (DESCRIBE, GET, GET, GET, *CLAIM, MINT, PUT, STAGE)
"""The intent of the run before is read as well."""
REFRESH_SCENARIOS = {
    "first mint": Scenario((DESCRIBE, GET, *CLAIM, MINT, PUT, STAGE), no_token),
    "renewal": Scenario(REFRESH, too_old),
    "rejection": Scenario(REFRESH, dead_by_a_foreign_mint, current_version),
    "forced by a person": Scenario(REFRESH, working, lambda _: {"force": True}),
    "takeover": Scenario(AFTER_ANOTHER, left_unfinished),
    # Latched and released.
    "refusal": Scenario((*READ, *CLAIM, MINT, STAGE, STAGE), wrong_password, mints=0, refused=True),
    "fresh, with a lock left behind": Scenario((DESCRIBE, GET, GET, GET, STAGE), left_finished, mints=0),
    "renewal, two accounts": Scenario((*READ, GET, *CLAIM, MINT, PUT, STAGE), too_old, standby=True),
    "takeover, two accounts": Scenario(
        (DESCRIBE, GET, GET, GET, GET, *CLAIM, MINT, PUT, STAGE), left_unfinished, standby=True
    ),
    "takeover from a run that gave up": Scenario(AFTER_ANOTHER, given_up),
    "after ten failures": Scenario(AFTER_ANOTHER, turned_away_ten_times, failures=FREE_FAILURES),
}


def points(scenarios: dict[str, Scenario]) -> list[Any]:
    """Every (scenario, place, moment) of these scenarios."""
    return [
        pytest.param(name, place, moment, id=f"{name}-{place} {short_name(call)}-{moment.name.lower()}")
        for name, scenario in scenarios.items()
        for place, call in enumerate(scenario.calls, 1)
        for moment in Moment
        if moment is not Moment.LANDS or call not in (GET, DESCRIBE, LIST)  # A read has no effect to take.
    ]


def short_name(call: str) -> str:
    return {MINT: "mint", INVOKE: "Invoke"}.get(call, call)


@pytest.fixture(scope="module")
def shared_by_two() -> Iterator[Stage]:
    """With two service accounts."""
    with Stage(standby=True) as made:
        yield made


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Stage:
    """A new state around the processes that the last test left running."""
    callspec = getattr(request.node, "callspec", None)
    scenario = REFRESH_SCENARIOS.get(callspec.params.get("name", "")) if callspec is not None else None
    two = scenario is not None and scenario.standby
    made: Stage = request.getfixturevalue("shared_by_two" if two else "shared")
    made.start_over()
    return made


@pytest.mark.parametrize(("name", "place", "moment"), points(REFRESH_SCENARIOS))
def test_a_killed_refresh_is_put_right_by_what_aws_runs_next(
    world: Stage, name: str, place: int, moment: Moment, record_property: Record
) -> None:
    scenario = REFRESH_SCENARIOS[name]
    scenario.prepare(world)
    event = scenario.event(world)
    before = Before(world, scenario)
    kill_at(world, world.refresh, event, place, moment)
    meanwhile = seen(state_of_token(world), "works", "dead", "none")

    world.let_lease_pass()
    retry = world.refresh.invoke(event, REQUEST_ID)
    told = outcome(retry)
    if scenario.failures >= FREE_FAILURES and told == "VendorUnavailable":
        retry = before.check_paused(retry, event)
        told = f"waits, then {outcome(retry)}"
    mended = before.check_mended(retry)
    allowed = (
        ("CredentialsRefused", "refused")
        if scenario.refused
        else ("refreshed", "fresh", "waits, then refreshed")
    )
    case = {"scenario": name, "place": place, "operation": scenario.calls[place - 1], "moment": moment}
    note(record_property, "crash", case, token=meanwhile, retry=seen(told, *allowed), **mended)


FORCED = {name: scenario for name, scenario in REFRESH_SCENARIOS.items() if name == "forced by a person"}


@pytest.mark.parametrize(
    ("name", "place", "moment"), [point for point in points(FORCED) if point.values[2] is not Moment.AFTER]
)
def test_a_command_killed_and_not_retried_is_finished_by_the_next_tick(
    world: Stage, name: str, place: int, moment: Moment
) -> None:
    """Nobody retries a person's synchronous invoke, and nothing but the intent says that it was under way."""
    scenario = FORCED[name]
    scenario.prepare(world)
    before = Before(world, scenario)
    kill_at(world, world.refresh, scenario.event(world), place, moment)
    world.let_lease_pass()
    before.check_mended(world.tick())


@pytest.mark.parametrize("name", REFRESH_SCENARIOS)
def test_a_run_killed_after_its_last_call_is_not_served_twice(
    world: Stage, name: str, record_property: Record
) -> None:
    """And the run made the calls that the matrix has, and the mints."""
    scenario = REFRESH_SCENARIOS[name]
    scenario.prepare(world)
    event = scenario.event(world)
    before = Before(world, scenario)
    fault, hold = hold_before()
    world.wire.reset_log()
    world.wire.inject(fault, index=len(scenario.calls))
    pending = world.refresh.start(event, REQUEST_ID)
    assert hold.wait()
    # Everything was done, only Lambda does not hear of it.
    pending.environment.api.hold_answers.set()
    hold.forward()
    assert pending.environment.api.answer_held.wait(60)
    pending.kill()
    assert pending.wait().error_type == KILLED
    assert tuple(call.operation for call in world.wire.calls) == scenario.calls
    assert before.mints_since() == scenario.mints
    world.wire.clear_faults()

    world.let_lease_pass()
    meanwhile = seen(state_of_token(world), "works")
    retry = world.refresh.invoke(event, REQUEST_ID)
    told = seen(outcome(retry), "refused" if scenario.refused else "fresh")
    mended = before.check_mended(retry, most_mints=scenario.mints)
    place = len(scenario.calls) + 1
    case = {"scenario": name, "place": place, "operation": "the answer to Lambda", "moment": Moment.LOST}
    note(record_property, "crash", case, token=meanwhile, retry=told, **mended)


# --- handing out ------------------------------------------------------------------------------------------------


VEND_SCENARIOS = {
    "hand-out": Scenario((GET,), working, mints=0),
    "hand-out without a token": Scenario((GET, INVOKE), no_token),
    "rejection of a dead token": Scenario((GET, INVOKE), dead_by_a_foreign_mint, current_version),
    "hand-out of an expired token": Scenario((GET, INVOKE), expired),
}


@pytest.mark.parametrize(("name", "place", "moment"), points(VEND_SCENARIOS))
def test_a_killed_hand_out_is_put_right_by_the_callers_next_try(
    world: Stage, name: str, place: int, moment: Moment, record_property: Record
) -> None:
    scenario = VEND_SCENARIOS[name]
    start_vend(world)
    scenario.prepare(world)
    event = scenario.event(world)
    mints = world.vendor.mint_count()
    kill_at(world, world.vend, event, place, moment)

    world.lambda_service.settle()  # The caller waits as long as a refresh takes, if one was started.
    first = world.ask(**event)
    world.lambda_service.settle()
    second = world.ask(**event)
    assert world.vendor.is_live(second.payload["access_token"])
    assert world.lambda_service.failed_events == []
    assert "MINTING" not in world.secrets.labels(TOKEN)
    case = {
        "scenario": name,
        "place": place,
        "operation": short_name(scenario.calls[place - 1]),
        "moment": moment,
    }
    note(
        record_property,
        "crash-vend",
        case,
        first=seen(first.error_type or "the token", "the token", "TokenUnavailable"),
        second=seen(second.error_type or "the token", "the token"),
        # A caller that asks again does not cost a second mint.
        mints=seen(world.vendor.mint_count() - mints, scenario.mints),
    )


@pytest.mark.parametrize("name", VEND_SCENARIOS)
def test_the_matrix_has_every_call_of_a_hand_out(world: Stage, name: str) -> None:
    scenario = VEND_SCENARIOS[name]
    start_vend(world)
    scenario.prepare(world)
    world.lambda_service.refuse("TooManyRequestsException", 400)  # so that no refresh mixes its calls in
    world.wire.reset_log()
    world.vend.invoke(scenario.event(world))
    assert tuple(call.operation for call in world.wire.calls) == scenario.calls


# --- how -------------------------------------------------------------------------------------------------------


def start_vend(world: Stage) -> None:
    """Get the function's start over with while there is no token, so that what is killed is the request alone."""
    assert world.ask(nonsense=1).error_type == "InvalidRequest"


def kill_at(world: Stage, function: LambdaFunction, event: Any, place: int, moment: Moment) -> None:
    """Start the function and kill it at its call number `place`."""
    fault, hold = hold_after() if moment is Moment.AFTER else hold_before()
    world.wire.reset_log()
    world.wire.inject(fault, index=place)
    pending = function.start(event, REQUEST_ID)
    assert hold.wait(), "the call was never made"
    pending.kill()
    if moment is Moment.LANDS:
        hold.forward()
    else:
        hold.drop()
    assert pending.wait().error_type == KILLED
    world.wire.clear_faults()


def state_of_token(world: Stage) -> str:
    """What a caller would find: `works`, `dead` or `none`."""
    if world.stored_token is None:
        return "none"
    return "works" if world.holds() else "dead"


def outcome(result: Result) -> str:
    """The outcome, or the error's name."""
    return str(result.payload["outcome"]) if result.ok else str(result.error_type)


class Before:
    """The state before the run that is killed, to compare with what the following runs make of it."""

    def __init__(self, world: Stage, scenario: Scenario) -> None:
        self._world = world
        self._scenario = scenario
        self._mints = world.vendor.mint_count()
        self._requests = len(world.vendor.mint_requests)
        self._versions = set(world.secrets.versions(TOKEN))

    def check_paused(self, retry: Result, event: Any) -> Result:
        """The one exception: after ten failures in a row not the first retry mends it, but the first run after
        the pause; nothing is written or minted meanwhile. Returns how that run ended.
        """
        world = self._world
        assert "Nothing was tried" in retry.error_message, retry
        versions, mints = set(world.secrets.versions(TOKEN)), world.vendor.mint_count()
        again = world.tick()
        assert "Nothing was tried" in again.error_message, again
        assert set(world.secrets.versions(TOKEN)) == versions
        assert world.vendor.mint_count() == mints
        world.age_intents(LONGEST_PAUSE.total_seconds() - LEASE_SECONDS)
        return world.refresh.invoke(event, REQUEST_ID)

    def check_mended(self, retry: Result, most_mints: int | None = None) -> dict[str, Observed]:
        """After the retry; runs the next tick and checks how the crash ended."""
        world, refused = self._world, self._scenario.refused
        assert world.holds(), "the stored current token works at the vendor"
        assert outcome(retry) in (("CredentialsRefused", "refused") if refused else ("refreshed", "fresh")), (
            retry
        )
        most = self._scenario.mints + 1 if most_mints is None else most_mints
        mints = seen(self.mints_since(), *range(most + 1))
        requests = len(world.vendor.mint_requests)
        if refused:
            assert mints.value == 0
            assert requests - self._requests <= 2, "refused credentials are not hammered"
        following = seen(outcome(world.tick()), "refused" if refused else "fresh")
        assert len(world.vendor.mint_requests) == requests, "the next tick has nothing left to do"
        if refused:
            # A lock whose lease is over holds nobody up: the right credentials are used at once.
            world.secrets.put(CREDENTIALS, {"email": DEFAULT_EMAIL, "password": NEW_PASSWORD})
            assert outcome(world.tick()) == "refreshed"
            assert world.holds()
        assert "MINTING" not in world.secrets.labels(TOKEN)
        assert self._versions <= set(world.secrets.versions(TOKEN))
        assert world.secrets.destroyed(TOKEN) == []
        return {"mints": mints, "tick": following}

    def mints_since(self) -> int:
        return self._world.vendor.mint_count() - self._mints
