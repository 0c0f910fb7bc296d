"""Many at once: one mint, and never a dead token at rest.

Lambda without reserved concurrency runs as many refreshes at a time as there are events. What keeps them
apart is the lock in the token secret alone.
"""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.records import Observed, Record, note, seen
from tests.integration.test_crash_matrix import dead_by_a_foreign_mint, outcome, too_old
from tests.integration.world import CREDENTIALS, MINT, TOKEN, Stage
from tests.kit.secrets_manager.server import REGION
from tests.kit.stand_ins.faults import delay, hold_before
from token_vending.adapters import signed_aws
from token_vending.refreshing import Refresher, Report
from token_vending.requests import RefreshRequest
from token_vending.wiring import build_refresher

CROWD = 50
PROCESSES = 8
ONE_RUN = 2
"""Versions: of any crowd one run writes its intent and its token, the others nothing."""


@pytest.fixture
def refresher(world: Stage, monkeypatch: pytest.MonkeyPatch) -> Refresher:
    """The refresh use case on its real adapters, in this process: fifty of it are cheap."""
    for name, value in world.refresh.environment.items():
        if name not in ("PATH", "LANG", "TZ"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", REGION)
    return build_refresher()


def version_count(world: Stage) -> int:
    return len(world.secrets.versions(TOKEN))


def run(refresher: Refresher, event: dict[str, Any], request_id: str) -> Report:
    return refresher.run(RefreshRequest.parse(event, default_id=request_id), lambda: 45.0)


def all_at_once(refresher: Refresher, events: list[dict[str, Any]]) -> list[Report]:
    """All started at the same moment. The refresher keeps nothing between runs, so one serves for all."""
    gate = threading.Barrier(len(events))

    def start(number: int, event: dict[str, Any]) -> Report:
        gate.wait(60)
        return run(refresher, event, f"request-{number}")

    with ThreadPoolExecutor(len(events)) as pool:
        return list(pool.map(start, range(len(events)), events))


def race(
    world: Stage, refresher: Refresher, events: list[dict[str, Any]], what: str, record_property: Record
) -> list[str]:
    """All events at once: one mint, no dead token at rest, one intent. The outcomes."""
    mints, versions = world.vendor.mint_count(), version_count(world)
    reports = all_at_once(refresher, events)
    note_one_mint(record_property, world, mints, what, seen(version_count(world) - versions, ONE_RUN))
    assert "MINTING" not in world.secrets.labels(TOKEN)
    return [str(report.outcome) for report in reports]


def note_one_mint(record: Record, world: Stage, mints: int, what: str, versions: Observed) -> None:
    assert world.holds()
    note(record, "race", {"what": what}, found=seen(world.vendor.mint_count() - mints, 1), versions=versions)


def test_fifty_rejections_at_once_make_one_mint(
    world: Stage, refresher: Refresher, record_property: Record
) -> None:
    dead_by_a_foreign_mint(world)
    events = [{"rejected_version": world.version}] * CROWD
    outcomes = race(world, refresher, events, f"{CROWD} rejections of one version at once", record_property)
    assert outcomes.count("refreshed") == 1


def test_fifty_deliveries_of_the_schedule_at_once_make_one_mint(
    world: Stage, refresher: Refresher, record_property: Record
) -> None:
    too_old(world)
    events = [{"id": "tick-1"}] * (CROWD // 2) + [{"id": "tick-2"}] * (CROWD // 2)
    outcomes = race(world, refresher, events, f"{CROWD} schedule deliveries at once", record_property)
    assert set(outcomes) <= {"refreshed", "fresh", "busy"}


def test_fifty_first_mints_at_once_make_one(
    world: Stage, refresher: Refresher, record_property: Record
) -> None:
    race(world, refresher, [{}] * CROWD, f"{CROWD} runs at once on an empty secret", record_property)


def test_fifty_rejections_through_the_vend_function_make_one_mint(
    world: Stage, record_property: Record
) -> None:
    dead_by_a_foreign_mint(world)
    version, mints, versions = world.version, world.vendor.mint_count(), version_count(world)
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(lambda _: world.ask(rejected_version=version), range(CROWD)))
    world.lambda_service.settle()
    # Whoever came before the new token was there was told to come back, everybody else got it.
    assert {answer.error_type for answer in answers} <= {None, "TokenUnavailable"}
    assert all(answer.payload["version"] != version for answer in answers if answer.ok)
    what = f"{CROWD} callers reject one version through 4 vend processes"
    note_one_mint(record_property, world, mints, what, seen(version_count(world) - versions, ONE_RUN))


def test_processes_at_once_with_a_slow_wire_make_one_mint(world: Stage, record_property: Record) -> None:
    too_old(world)
    mints, versions = world.vendor.mint_count(), version_count(world)
    chance = random.Random(1)
    for nth in range(1, 9 * PROCESSES):
        world.wire.inject(delay(chance.uniform(0, 0.05)), nth=nth)
    with ThreadPoolExecutor(PROCESSES) as pool:
        results = list(pool.map(lambda _: world.tick(), range(PROCESSES)))
    assert {outcome(result) for result in results} <= {"refreshed", "fresh", "busy"}
    what, written = f"{PROCESSES} processes, every call delayed at random", version_count(world) - versions
    note_one_mint(record_property, world, mints, what, seen(written, ONE_RUN))


def test_of_two_runs_that_both_saw_no_lock_one_mints(
    world: Stage, refresher: Refresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a slow machine a held call would time out and be made again, past its hold.
    monkeypatch.setattr(signed_aws, "ANSWER_SECONDS", 60)
    too_old(world)
    mints = world.vendor.mint_count()
    before_lock, first_at_lock = hold_before()
    before_mint, second_at_mint = hold_before()
    world.wire.inject(before_lock, operation="PutSecretValue")
    world.wire.inject(before_mint, operation=MINT)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run, refresher, {}, "first")
        assert first_at_lock.wait()
        second = pool.submit(run, refresher, {}, "second")
        assert second_at_mint.wait()
        first_at_lock.forward()
        assert first.result().outcome == "busy"
        second_at_mint.forward()
        assert second.result().outcome == "refreshed"
    assert world.vendor.mint_count() == mints + 1
    assert world.holds()


def test_two_functions_fed_with_everything_never_rest_on_a_dead_token(
    world: Stage, record_property: Record
) -> None:
    world.mint_first()
    chance = random.Random(2)
    rounds, dead = 25, []
    for number in range(rounds):
        world.age_token(chance.choice([0, 1_000, 22 * 86_400]))
        if chance.random() < 0.3:
            world.vendor.mint_elsewhere()
            world.age_token(1_000)
        if chance.random() < 0.2:
            world.secrets.put(CREDENTIALS, world.secrets.value(CREDENTIALS))
        version = world.version
        events = [
            chance.choice([{}, {"force": True}, {"rejected_version": version}, {"id": f"r-{number}"}])
            for _ in range(2)
        ]
        if not world.holds():
            events[0] = {"rejected_version": version}
        for _ in range(4):
            world.wire.inject(delay(chance.uniform(0, 0.03)), nth=chance.randrange(1, 18))
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(world.refresh.invoke, events))
        world.wire.clear_faults()
        assert all(result.ok for result in results), results
        if not world.holds() and "foreign_minter" not in {r.payload["reason"] for r in results}:
            dead.append((number, results))
    case = {"what": f"two functions, {rounds} rounds of random pairs of events: dead tokens at rest"}
    note(record_property, "race", case, found=seen(len(dead), 0))
