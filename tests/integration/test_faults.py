"""What breaks outside, injected at the wire, against a refresh and against a hand-out.

Each row of docs/evidence/reliability.md's fault tables is one of these tests.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.records import Observed, Record, bounded, note, seen
from tests.integration.test_crash_matrix import outcome, start_vend, too_old
from tests.integration.world import (
    CREDENTIALS,
    DEBUG,
    LAMBDA,
    MIN_AGE_SECONDS,
    MINT,
    STORE,
    TOKEN,
    Stage,
)
from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD, Reset, Scenario
from tests.kit.personr import scenarios as personr
from tests.kit.runtime import Result
from tests.kit.runtime.function import TIMED_OUT
from tests.kit.stand_ins.faults import (
    Fault,
    answer,
    aws_error,
    delay,
    drip,
    hang,
    hang_after,
    hold_after,
    reset_after,
    reset_before,
)

pytestmark = pytest.mark.slow

RENEWAL_CALLS = 7
"""Calls to Secrets Manager; the mint comes between the 5th and the 6th."""
READS = (1, 2, 3)
PUT_INTENT, PUT_TOKEN, RELEASE = 5, 6, 7
SHORT_RUN_SECONDS = 4.0
"""A run with so little time left gives up storing soon; nothing else about it differs."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    # Without a cache every hand-out reads the store. At its end the world searches all that was written for secrets.
    with Stage(environment={**DEBUG, "CACHE_SECONDS": "0"}) as made:
        yield made


# --- Secrets Manager, against a refresh ---------------------------------------------------------------------------

LASTING: dict[str, tuple[Callable[[], Fault], tuple[int, ...]]] = {
    # name: the fault, and the calls from which on it lasts
    "throttled": (lambda: aws_error("ThrottlingException"), (1, 4, 5, 6, 7)),
    "internal error (500)": (lambda: aws_error("InternalServiceError", 500), (1, 2, 3, 4, 5, 6, 7)),
    "an HTML page (503)": (lambda: answer(503, b"<html>busy</html>"), (1, 5, 6)),
    "connection reset, no effect": (reset_before, (1, 4, 5, 6, 7)),
    "connection reset after the effect": (reset_after, (1, 4, 5, 6, 7)),
    "access denied": (lambda: aws_error("AccessDeniedException"), (1, 2, 3, 4, 5, 6, 7)),
    "KMS denies encryption": (lambda: aws_error("EncryptionFailure"), (5, 6)),
    "KMS denies decryption": (lambda: aws_error("DecryptionFailure"), (1, 2, 3)),
    "KMS denied through IAM": (
        lambda: aws_error("AccessDeniedException", message="Access to KMS is not allowed"),
        (1, 5, 6),
    ),
    "quota reached": (lambda: aws_error("LimitExceededException"), (5, 6)),
    "secret scheduled for deletion": (lambda: aws_error("InvalidRequestException"), (1, 3, 5, 6)),
    "answer is no JSON": (lambda: answer(200, b"<html>hello</html>"), (1, 2, 3, 4, 5, 6, 7)),
    "answer is cut off": (lambda: answer(200, b'{"ARN": "arn:aws'), (1, 5, 6)),
    "answer is another JSON": (lambda: answer(200, b"[1]"), (1, 3, 5, 6)),
    "answer lacks every field": (lambda: answer(200, b"{}"), (1, 2, 5, 6)),
}


@pytest.mark.parametrize(
    ("name", "first"), [(name, first) for name, (_, places) in LASTING.items() for first in places]
)
def test_a_store_that_fails_from_a_call_on(
    world: Stage, name: str, first: int, record_property: Record
) -> None:
    too_old(world)
    mints = world.vendor.mint_count()
    world.wire.inject(LASTING[name][0](), upstream=STORE, nth=first, times=None)
    result = world.refresh.invoke({}, told_seconds=SHORT_RUN_SECONDS)
    if first < PUT_TOKEN:
        run = seen(outcome(result), "StoreUnavailable", "ConfigurationError")
        assert world.wire.counts()[MINT] == 0
    elif first == PUT_TOKEN:
        run = seen(outcome(result), "StoreUnavailable")
        assert "minted and could not be stored" in result.problem["message"]
    else:
        run = seen(outcome(result), "refreshed")
    # Where nothing was minted, the old token lives on. An answer may be lost after the token was stored.
    works = [first != PUT_TOKEN] if first != PUT_TOKEN else [True, False]
    ended = {
        "run": run,
        "mints": seen(world.vendor.mint_count() - mints, 0 if first < PUT_TOKEN else 1),
        "token_works": seen(world.holds(), *works),
    }

    world.wire.clear_faults()
    note(record_property, "store", {"fault": name, "first": first}, **ended, **mended(world, mints))


def mended(world: Stage, mints: int) -> dict[str, Observed]:
    """What the next run makes of it. A token that could not be stored is minted anew."""
    world.let_lease_pass()
    following = seen(outcome(world.tick()), "refreshed", "fresh")
    assert world.holds()
    assert "MINTING" not in world.secrets.labels(TOKEN)
    return {"next": following, "mints_in_all": seen(world.vendor.mint_count() - mints, 1, 2)}


PASSING: dict[str, Callable[[], Fault]] = {
    "throttled": lambda: aws_error("ThrottlingException"),
    "internal error (500)": lambda: aws_error("InternalServiceError", 500),
    "internal error after the effect": lambda: aws_error("InternalServiceError", 500, took_effect=True),
    "connection reset, no effect": reset_before,
    "connection reset after the effect": reset_after,
    "slow": lambda: delay(0.4),
    "a byte at a time": lambda: drip(0.4),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_single_fault_of_the_store_costs_nothing_but_time(
    world: Stage, name: str, record_property: Record
) -> None:
    world.mint_first()
    runs = []
    for place in range(1, RENEWAL_CALLS + 1):
        world.age_token(22 * 86_400)
        mints = world.vendor.mint_count()
        world.wire.clear_faults()
        world.wire.inject(PASSING[name](), upstream=STORE, nth=place)
        runs.append(seen(outcome(world.tick()), "refreshed"))
        assert world.vendor.mint_count() == mints + 1
        assert world.holds()
        assert "MINTING" not in world.secrets.labels(TOKEN)
    note(record_property, "store-once", {"fault": name}, run=runs[-1])


def test_a_minted_token_is_stored_as_soon_as_the_store_takes_it(
    world: Stage, record_property: Record
) -> None:
    too_old(world)
    mints = world.vendor.mint_count()
    # Six answers are three of the SDK's own retries: the run itself must not give up.
    world.wire.inject(aws_error("InternalServiceError", 500), upstream=STORE, nth=PUT_TOKEN, times=6)
    result = world.refresh.invoke({}, told_seconds=30)
    run = seen(outcome(result), "refreshed")
    assert world.vendor.mint_count() == mints + 1
    assert world.holds()
    note(record_property, "store-once", {"fault": "six failures in a row while storing"}, run=run)


@pytest.mark.parametrize("when", ["from the start", "after the mint"])
def test_a_store_that_refuses_connections(world: Stage, when: str, record_property: Record) -> None:
    too_old(world)
    mints = world.vendor.mint_count()
    if when == "from the start":
        world.wire.refuse_connections(STORE)
        result = world.refresh.invoke({}, told_seconds=SHORT_RUN_SECONDS)
    else:
        fault, hold = hold_after()
        world.wire.inject(fault, operation=MINT)
        pending = world.refresh.start({}, told_seconds=SHORT_RUN_SECONDS)
        assert hold.wait()
        world.wire.refuse_connections(STORE)
        hold.forward()
        result = pending.wait()
    world.wire.accept_connections(STORE)
    first = 1 if when == "from the start" else PUT_TOKEN
    ended = {
        "run": seen(outcome(result), "StoreUnavailable"),
        "mints": seen(world.vendor.mint_count() - mints, 0 if first == 1 else 1),
        "token_works": seen(world.holds(), first == 1),
    }
    case = {"fault": "connections refused", "first": first}
    note(record_property, "store", case, **ended, **mended(world, mints))


def test_a_hang_of_the_store_at_any_call_ends_in_the_kill_and_is_mended(record_property: Record) -> None:
    """Lambda's timeout kills for certain. The worlds wait side by side, so that it takes one timeout in all."""

    def hang_at(place: int, fault: Fault) -> tuple[dict[str, object], dict[str, Observed]]:
        with Stage() as world:
            too_old(world)
            mints = world.vendor.mint_count()
            world.wire.reset_log()
            world.wire.inject(fault, index=place)
            result = world.refresh.invoke({}, "the-request", timeout_seconds=SHORT_RUN_SECONDS)
            # The mint has a timeout of its own, shorter than the run's; so has each call, but here the run's is
            # shorter.
            ended = {
                "run": seen(
                    outcome(result), *([TIMED_OUT] if place != 6 else [TIMED_OUT, "VendorUnavailable"])
                ),
                "mints": seen(world.vendor.mint_count() - mints, 0, 1),
                "token_works": seen(world.holds(), True, False),
            }
            world.let_lease_pass()
            retry = seen(outcome(world.refresh.invoke({}, "the-request")), "refreshed", "fresh")
            assert world.holds(), place
            assert outcome(world.tick()) == "fresh"
            assert "MINTING" not in world.secrets.labels(TOKEN)
            in_all = seen(world.vendor.mint_count() - mints, 1, 2)
            return {"place": place, "fault": fault.name}, {**ended, "next": retry, "mints_in_all": in_all}

    places = range(1, RENEWAL_CALLS + 2)
    hangs = [(place, fault) for fault in (hang(), hang_after()) for place in places]
    with ThreadPoolExecutor(len(hangs)) as pool:
        rows = list(pool.map(hang_at, *zip(*hangs, strict=True)))
    for case, cells in rows:
        note(record_property, "hang", case, **cells)


# --- the vendor, against a refresh --------------------------------------------------------------------------------

UNAVAILABLE, PROTOCOL, CONFIGURATION = "VendorUnavailable", "VendorProtocolError", "ConfigurationError"
LASTING_AT_THE_VENDOR: dict[str, tuple[Scenario, str]] = {
    "429": (personr.rate_limited(), UNAVAILABLE),
    "429, Retry-After an hour": (personr.rate_limited("3600"), UNAVAILABLE),
    "500": (personr.workflow_error(500, "INTERNAL"), UNAVAILABLE),
    "502 page": (personr.maintenance(502), UNAVAILABLE),
    "503 page": (personr.maintenance(503), UNAVAILABLE),
    "504 after the mint": (Scenario(status=504, body="", took_effect=True), UNAVAILABLE),
    "408": (personr.workflow_error(408, "TIMEOUT"), UNAVAILABLE),
    "reset, no mint": (Scenario(reset=Reset.BEFORE), UNAVAILABLE),
    "reset after the mint": (Scenario(reset=Reset.AFTER), UNAVAILABLE),
    "hang, no mint": (Scenario(hang=True), UNAVAILABLE),
    "hang after the mint": (Scenario(hang=True, took_effect=True), UNAVAILABLE),
    "answer drips past the timeout": (Scenario(drip_seconds=60), UNAVAILABLE),
    "answer cut off": (Scenario(truncate=20), UNAVAILABLE),
    "redirect": (personr.redirect("https://elsewhere.example/mint"), CONFIGURATION),
    "400 WORKFLOW_DISABLED": (personr.workflow_error(), CONFIGURATION),
    "401": (personr.workflow_error(401, "UNAUTHORIZED"), CONFIGURATION),
    "404": (personr.workflow_error(404, "NOT_FOUND"), CONFIGURATION),
    "200 NOT_RUN": (Scenario(status=200, body='{"status":"NOT_RUN","response":{}}'), PROTOCOL),
    "200 page": (Scenario(status=200, body="<html>", headers={"Content-Type": "text/html"}), PROTOCOL),
    "200 garbled, minted": (Scenario(body='{"response":{"tok', took_effect=True), PROTOCOL),
    "200 of 8 MiB, minted": (personr.huge_success(), PROTOCOL),
    "200 nested 100,000 deep, minted": (Scenario(body="[" * 100_000, took_effect=True), PROTOCOL),
    "200 not UTF-8, minted": (Scenario(body="\udcff{}", took_effect=True), PROTOCOL),
}


@pytest.mark.parametrize("name", LASTING_AT_THE_VENDOR)
def test_a_vendor_that_fails_is_asked_again_by_the_next_run(
    world: Stage, name: str, record_property: Record
) -> None:
    scenario, error = LASTING_AT_THE_VENDOR[name]
    too_old(world)
    mints = world.vendor.mint_count()
    world.vendor.always(scenario)
    result = world.refresh.invoke({}, told_seconds=SHORT_RUN_SECONDS)
    # How many tries fit into a run depends on the jitter of its pauses; each of them mints, or none.
    tries = (1, 4) if error == UNAVAILABLE else (1, 1)
    during = world.vendor.mint_count() - mints
    ended = {
        "run": seen(outcome(result), error),
        "requests": bounded(world.wire.counts()[MINT], *tries),
        "mints": bounded(during, *tries) if during else seen(during, 0),
        "token_works": seen(world.holds(), during == 0),
    }
    world.vendor.reset_script()
    # What was minted unseen makes the next token suspect.
    note(record_property, "vendor", {"fault": name}, **ended, **next_run(world, True, during > 0))


def next_run(world: Stage, *suspect: bool) -> dict[str, Observed]:
    """What becomes of a failure at once: a run that failed alive lets go, and leaves no lease to wait for."""
    following = seen(outcome(world.tick()), "refreshed")
    assert world.holds()
    assert "MINTING" not in world.secrets.labels(TOKEN)
    may_have_minted = seen((world.stored or {})["suspect_until"] is not None, *suspect)
    return {"may_have_minted": may_have_minted, "next": following}


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("429 once", personr.rate_limited()),
        ("429 once, Retry-After 1", personr.rate_limited("1")),
        ("503 once", personr.maintenance()),
        ("slow", Scenario(delay_seconds=0.5)),
        ("reset once, no mint", Scenario(reset=Reset.BEFORE)),
        ("reset once after the mint", Scenario(reset=Reset.AFTER)),
        ("no 'expires'", personr.expires(personr.OMIT)),
        ("'expires' a word", personr.expires("soon")),
        ("'expires' negative", personr.expires(-1)),
        ("'expires' 1e400", Scenario(body='{"response":{"token":"{token}","expires":1e400}}')),
        ("'expires' a numeric string", personr.expires("31536000")),
    ],
)
def test_what_the_vendor_does_once_costs_nothing_but_time(
    world: Stage, name: str, scenario: Scenario, record_property: Record
) -> None:
    too_old(world)
    world.vendor.script(scenario)
    run = seen(outcome(world.refresh.invoke({}, told_seconds=15)), "refreshed")
    assert world.holds()
    requests = seen(world.wire.counts()[MINT], 1, 2)
    note(record_property, "vendor-once", {"fault": name}, run=run, requests=requests)


def test_refused_credentials_leave_the_old_token_alone(world: Stage, record_property: Record) -> None:
    too_old(world)
    mints = world.vendor.mint_count()
    world.vendor.set_password("another one")
    world.wire.reset_log()
    run = seen(outcome(world.tick()), "CredentialsRefused")
    following = seen(outcome(world.tick()), "refused")
    ended = {
        "requests": seen(world.wire.counts()[MINT], 1),
        "mints": seen(world.vendor.mint_count() - mints, 0),
        "token_works": seen(world.holds(), True),
    }
    world.secrets.put(CREDENTIALS, {"email": DEFAULT_EMAIL, "password": "another one"})
    with_new_ones = seen(f"{outcome(world.tick())} with new credentials", "refreshed with new credentials")
    suspect = seen((world.stored or {})["suspect_until"] is not None, False)
    world.vendor.set_password(DEFAULT_PASSWORD)
    note(
        record_property,
        "vendor",
        {"fault": "400 INVALID_LOGIN_CREDENTIALS"},
        run=run,
        **ended,
        may_have_minted=suspect,
        next=following.then(with_new_ones),
    )


# --- against a hand-out -------------------------------------------------------------------------------------------

AT_THE_HAND_OUT: dict[str, Callable[[], Fault]] = {
    "throttled": lambda: aws_error("ThrottlingException"),
    "internal error (500)": lambda: aws_error("InternalServiceError", 500),
    "an HTML page (503)": lambda: answer(503, b"<html>busy</html>"),
    "connection reset": reset_before,
    "hang": hang,
    "a byte at a time": lambda: drip(30),
    "access denied": lambda: aws_error("AccessDeniedException"),
    "KMS denies decryption": lambda: aws_error("DecryptionFailure"),
    "answer is no JSON": lambda: answer(200, b"<html>hello</html>"),
    "answer is cut off": lambda: answer(200, b'{"ARN": "arn:aws'),
    "answer is another JSON": lambda: answer(200, b"[1]"),
    "answer lacks every field": lambda: answer(200, b"{}"),
    "answer nested 100,000 deep": lambda: answer(200, b"[" * 100_000),
}


@pytest.mark.parametrize("name", AT_THE_HAND_OUT)
def test_a_store_that_cannot_be_read(world: Stage, name: str, record_property: Record) -> None:
    """Three callers at once, two of them at processes with a copy, so that their timeouts pass side by side."""
    version = world.mint_first()
    assert all(answer.ok for answer in at_once(world, {}, {}))
    world.wire.inject(AT_THE_HAND_OUT[name](), upstream=STORE, times=None)
    # A copy that is not expired is better than nothing, but not to whoever says that it is dead.
    answers = at_once(world, {}, {"rejected_version": version}, {})
    copy, rejecting, cold = (told(world, answer) for answer in answers)
    note(
        record_property,
        "hand-out",
        {"fault": name},
        cold=seen(cold, "StoreUnavailable, retry later"),
        copy=seen(copy, "a working token"),
        rejecting=seen(rejecting, "StoreUnavailable, retry later"),
    )


def at_once(world: Stage, *events: dict[str, Any]) -> list[Result]:
    """Each by a process of its own, the warm ones first."""
    return [pending.wait() for pending in [world.vend.start(event) for event in events]]


def told(world: Stage, answer: Result) -> str:
    """What a caller is told."""
    if answer.ok:
        return f"a {'working' if world.vendor.is_live(answer.payload['access_token']) else 'dead'} token"
    later = answer.problem.get("retry_after", 0) > 0
    return f"{answer.error_type}{', retry later' if later else ''}"


@pytest.mark.parametrize(
    "name", ["throttled", "internal error (500)", "connection reset", "a byte at a time"]
)
def test_a_single_fault_is_not_seen_by_the_caller(world: Stage, name: str, record_property: Record) -> None:
    fault = drip(0.3) if name == "a byte at a time" else AT_THE_HAND_OUT[name]()
    start_vend(world)
    world.mint_first()
    said = []
    for event in ({}, {}, {"rejected_version": world.version}):
        if event:
            world.age_token(MIN_AGE_SECONDS + 1)
            world.vendor.mint_elsewhere()
        world.wire.clear_faults()
        world.wire.inject(fault, upstream=STORE, times=1)
        said.append(told(world, world.ask(**event)))
    cold, copy = seen(said[0], "a working token"), seen(said[1], "a working token")
    rejecting = seen(said[2], "TokenUnavailable, retry later")
    world.lambda_service.settle()
    assert world.holds()
    note(record_property, "hand-out", {"fault": f"{name}, once"}, cold=cold, copy=copy, rejecting=rejecting)


def test_an_expired_copy_is_not_handed_out_when_the_store_cannot_be_read(world: Stage) -> None:
    start_vend(world)
    version, soon = world.mint_first(), dt.datetime.now(dt.UTC) + dt.timedelta(seconds=4)
    world.secrets.rewrite(TOKEN, version, lambda token: {**token, "expires_at": soon.isoformat()})
    assert world.ask().ok
    world.wire.inject(hang(), upstream=STORE, times=None)  # waits past the expiry by itself
    assert world.ask().error_type == "StoreUnavailable"


START_FAULTS: dict[str, Callable[[], Fault]] = {
    "throttled": lambda: answer(429, b'{"Reason":"CallerRateLimitExceeded","Type":"User"}'),
    "service error (500)": lambda: answer(500, b'{"Type":"Service"}'),
    "access denied": lambda: answer(403, b'{"Message":"not authorized"}'),
    "connection reset": reset_before,
    "hang": hang,
}


@pytest.mark.parametrize("name", START_FAULTS)
def test_a_refresh_that_cannot_be_started_is_started_by_the_next_try(
    world: Stage, name: str, record_property: Record
) -> None:
    world.mint_first()
    version = world.version
    world.wire.inject(START_FAULTS[name](), upstream=LAMBDA, times=None)
    cold, copy = (seen(told(world, world.ask()), "a working token") for _ in range(2))
    world.age_token(MIN_AGE_SECONDS + 1)
    world.vendor.mint_elsewhere()
    refused = world.ask(rejected_version=version)
    assert "could not be started" in refused.problem["message"]
    rejecting = seen(told(world, refused), "TokenUnavailable, retry later")
    world.wire.clear_faults()
    started = seen(told(world, world.ask(rejected_version=version)), "TokenUnavailable, retry later")
    world.lambda_service.settle()
    served = seen(told(world, world.ask(rejected_version=version)), "a working token")
    assert world.holds()
    case = {"fault": f"starting a refresh: {name}"}
    note(
        record_property,
        "hand-out",
        case,
        cold=cold,
        copy=copy,
        rejecting=rejecting.then(started).then(served),
    )
