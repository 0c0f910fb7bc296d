"""The claim: of many runs at once exactly one may mint, and the others write nothing.

The version id of an intent follows from the state that the run has seen: which version is current, and which intent
was the last. Secrets Manager creates a version with that id once, and refuses another text under the same id
(PutSecretValue's ClientRequestToken). So writing the intent is a compare-and-swap on those two labels: it succeeds
only for the first run that has seen the latest pair. A run that decided on a stale reading asks for an id that is
taken. docs/decisions/0003 says why this and not a label.
"""

import contextlib
import math
from datetime import datetime, timedelta

from token_vending.due import Verdict, lease_over
from token_vending.errors import StoreUnavailable, VendorUnavailable
from token_vending.history import DAY, announced, failure_wait, has_room, quiet
from token_vending.observing import Observation, version_after
from token_vending.ports import ABANDONED, CURRENT, LOCK, AlreadyAnnounced, LabelHeld, TokenStore
from token_vending.requests import RefreshRequest
from token_vending.token import Intent


def check_pause(state: Observation, request: RefreshRequest, now: datetime) -> None:
    """Raises VendorUnavailable while it is too early for another run after the failed ones. A person need not wait."""
    wait = timedelta(0) if state.refused else failure_wait(state.last, now)
    if wait > timedelta(0) and not request.by_a_person:
        seconds = math.ceil(wait.total_seconds())
        raise VendorUnavailable(
            f"Nothing was tried: earlier runs have failed, their errors say why, and the next one may try in "
            f"{seconds} s.",
            retry_after=seconds,
        )


def check_room(  # noqa: PLR0913
    store: TokenStore,
    state: Observation,
    request: RefreshRequest,
    verdict: Verdict,
    now: datetime,
    *,
    notes: list[str],
) -> None:
    """Raises StoreUnavailable unless there is room for the intent and for the token after it.

    From 80 versions on, runs continue once an hour only, and what a caller has caused stops first. A person need not
    wait. If the versions cannot be counted, only a stack that has written little of late continues.
    """
    try:
        kept = store.versions_kept(now - DAY)
    except StoreUnavailable as error:
        if not quiet(state.last or state.token, now):
            raise
        notes.append(f"The versions of the token secret could not be counted: {error.detail}")
        return
    latest = state.last.started_at if state.last else state.token.issued_at if state.token else None
    if not has_room(kept, latest, now, for_a_caller=verdict.by_caller, by_a_person=request.by_a_person):
        raise StoreUnavailable(
            f"Nothing was minted: the token secret has {kept} versions that Secrets Manager still keeps, and there "
            "may be no room for another token. Later runs try again; Secrets Manager makes room by itself, a day after "
            "the versions were written."
        )


def claim(  # noqa: PLR0913
    store: TokenStore,
    state: Observation,
    request: RefreshRequest,
    verdict: Verdict,
    now: datetime,
    *,
    attempt: str,
) -> Intent | None:
    """Writes the intent that follows from this state, under the lock; None if another run has done so.

    It shows that the write path (IAM, KMS, quota) works before the working token is ended.
    """
    failed = None if state.refused else state.last
    history = announced(
        state.token, failed=failed, question=state.unfinished, now=now, by_caller=verdict.by_caller
    )
    version: str | None = state.next_version
    while version is not None:
        intent = Intent(version, request.attempt(version), now, verdict, history, attempt)
        try:
            store.put_intent(intent)
        except AlreadyAnnounced as taken:
            version = _after(version, taken.record, state, now)
        else:
            return intent
    return None


def _after(version: str, taken: object, state: Observation, now: datetime) -> str | None:
    """Where to try again. As a rule nowhere: another run was first.

    The exception: the lease of its intent is over, and this state names no later intent. Then somebody has moved the
    label INTENT by hand.
    """
    if isinstance(taken, Intent) and not lease_over(taken, now):
        return None
    return version_after(state.labels.get(CURRENT), version)


def release(store: TokenStore, version: str, notes: list[str]) -> None:
    """Takes the lock off that version."""
    try:
        store.remove_label(LOCK, expected_on=version)
    except LabelHeld:
        pass  # Another run found this one finished and has taken the lock off.
    except StoreUnavailable as error:
        # The lock of a finished run stops no other run, and the next one takes it off.
        notes.append(f"The lock could not be released: {error.detail}")


def give_up(
    store: TokenStore, intent: Intent, state: Observation, notes: list[str], *, may_have_minted: bool
) -> None:
    """After a mint that failed: the lock stays, unless nothing can have been minted, nor before this run.

    Then the question stays open, and the label ABANDONED says that the next run need not wait for the lease.
    """
    if not may_have_minted and state.unfinished is None:
        release(store, intent.version, notes)
        return
    with contextlib.suppress(LabelHeld, StoreUnavailable):  # The lease ends by itself.
        store.move_label(ABANDONED, to=intent.version, expected_on=state.labels.get(ABANDONED))
