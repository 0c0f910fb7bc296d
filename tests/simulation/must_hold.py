"""What must hold of a stack whatever happens to it: written down anew, from the contract, without asking the
product's decision.
"""

import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.kit.personr.rules import Origin
from tests.simulation.world import CREDENTIALS, EMAIL, STANDBY, STANDBY_EMAIL, TOKEN, World
from token_vending.due import LEASE, Verdict
from token_vending.errors import VendorUnavailable
from token_vending.history import FREE_FAILURES, LONGEST_PAUSE
from token_vending.refreshing import Outcome, Report
from token_vending.requests import RefreshRequest
from token_vending.token import Token

if TYPE_CHECKING:
    from tests.simulation.model import Model, Slot

MAX_AGE = timedelta(days=21)
LATEST_LANDING = timedelta(minutes=5)


# --- after every step -------------------------------------------------------------------------------------


def check(model: "Model") -> None:
    """Everything that must hold at any time."""
    current_is_the_last_one_minted_or_it_is_marked(model)
    a_late_mint_was_reckoned_with(model)
    mints_are_bounded(model)
    wrong_credentials_are_not_sent_again(model)


def marked(world: World) -> bool:
    """Whether the lock says that the stored token may be dead."""
    lock, token = world.lock(), world.token()
    return lock is not None and (token is None or token.run != lock.run)


def current_is_the_last_one_minted_or_it_is_marked(model: "Model") -> None:
    token = model.world.token()
    if token is not None and token.version not in model.versions_seen:
        model.versions_seen.append(token.version)
    if token is None or marked(model.world):
        # Nobody holds a token that could have died, or nobody takes it for alive.
        return
    email = _account(token)
    ours = (m for m in reversed(model.world.personr.history) if m.origin is Origin.OURS and m.email == email)
    last = next(ours, None)
    assert last is not None, "a token in the store that nobody minted"
    assert token.access_token() == last.token, "the stored token is dead by our own mint, unmarked"


def a_late_mint_was_reckoned_with(model: "Model") -> None:
    history, token = model.world.personr.history, model.world.token()
    new, model.landings_seen = history[model.landings_seen :], len(history)
    if token is None or marked(model.world):
        return
    for mint in new:
        if mint.origin is Origin.LATE and mint.email == _account(token) and mint.at > token.issued_at:
            assert token.suspect_until is not None, "killed by a late mint of ours, not suspect"
            assert mint.at <= token.suspect_until, "killed by a late mint of ours, no longer suspect"


def mints_are_bounded(model: "Model") -> None:
    elapsed = model.world.clock() - model.began
    events = len(model.forced) + len(model.complained_about) + model.credentials_set + model.mishaps
    allowed, sent = 1 + events + elapsed // MAX_AGE, len(model.world.personr.sent)
    assert sent <= allowed, f"{sent} mints, {allowed} reasons"


def wrong_credentials_are_not_sent_again(model: "Model") -> None:
    times = Counter(model.world.personr.sent)
    bound = model.credentials_set + len(model.forced) + model.mishaps + model.overlapping
    assert all(times[credentials] <= bound for credentials in model.wrong)


# --- of a run ---------------------------------------------------------------------------------------------


def it_may_mint(model: "Model", where: "Slot") -> None:
    """A run is about to mint: it must hold the lock, and there must be a reason in the world as it is."""
    world, event = model.world, where.event
    lock, token = world.lock(), world.token()
    assert lock is not None, "minting without the lock"
    assert lock.attempt in where.intents, "minting under another run's lock"
    if token is None or where.question_was_open:
        return
    credentials = {
        world.secrets.holder(CREDENTIALS, "AWSCURRENT"),
        f"standby:{world.secrets.holder(STANDBY, 'AWSCURRENT')}",
    }
    by_a_person = "force" in event and "rejected_version" not in event
    reasons = {
        "credentials": token.credentials_version not in credentials,
        "age": world.clock() - token.issued_at >= MAX_AGE,
        "person": by_a_person and not RefreshRequest.parse(event, default_id="").made(token.run),
        "caller": event.get("rejected_version") == token.version,
    }
    assert any(reasons.values()), f"a mint without a reason, for {event}"


def what_a_run_says_is_true(model: "Model", where: "Slot", report: Report) -> None:
    if report.outcome is not Outcome.REFRESHED:
        model.unsuccessful += 1
        assert where.process.wire.mints_sent == where.mints_sent, f"{report.outcome}, but it has minted"
        return
    assert report.token is not None
    stored = model.world.secrets.versions(TOKEN)[report.token.version].content
    assert json.loads(stored)["access_token"] == report.token.access_token()
    if report.reason != Verdict.UNFINISHED_INTENT:
        # Only what an earlier run left undone may be finished with the token that it had minted.
        assert report.token.access_token() not in where.known, f"{report.reason}, but nothing new"


# --- in the end -------------------------------------------------------------------------------------------


def it_ends_well(model: "Model") -> None:
    """Faults stop, the lease and the late mints pass: two ticks, or a caller's report, and all is well.

    After ten failures in a row the first of them waits for the pause.
    """
    model.ends()
    check(model)
    world = model.world
    world.clock.advance(LATEST_LANDING + LEASE)
    accounts = ((CREDENTIALS, EMAIL), (STANDBY, STANDBY_EMAIL))[: 1 + world.standby]
    if not all(world.personr.accepts(email, world.stored_password(secret)) for secret, email in accounts):
        model.credentials_change(right=True, standby=False)
        model.credentials_change(right=True, standby=True)
    before = len(world.personr.sent)
    try:
        world.run({"id": "last-tick-1"})
    except VendorUnavailable as error:
        # Nobody may have to wait who has not failed ten times.
        assert "Nothing was tried" in error.detail  # noqa: PT017 - as a rule there is no error
        assert model.unsuccessful >= FREE_FAILURES
        world.clock.advance(LONGEST_PAUSE)
        world.run({"id": "last-tick-1"})
    assert len(world.personr.sent) <= before + 1
    model.mishaps += 1
    second = world.run({"id": "last-tick-2"})
    assert second.outcome == "fresh", second
    assert world.lock() is None
    version = world.stored().version
    check(model)
    if not world.token_works():
        # Somebody else's mint, or one of ours that landed late: a caller will notice.
        world.clock.advance(timedelta(hours=1))
        model.complained_about.add(version)
        world.run({"id": "report", "rejected_version": version})
    assert world.token_works()
    assert world.run({"id": "last-tick-3"}).outcome == "fresh"


def _account(token: Token) -> str:
    return STANDBY_EMAIL if token.credentials_version.startswith("standby:") else EMAIL
