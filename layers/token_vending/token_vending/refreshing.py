"""The refresh protocol: read, announce, lock, mint, store, release.

The invariant: the version labelled AWSCURRENT is the token that the vendor minted last. It can be broken only
between the vendor's answer and our write. While it may be broken, the lock label lies on an intent whose run
id the current token does not carry, and every later run takes that for its first reason to mint.

`due` decides when; this module knows how, and in which order. The order is the protocol: docs/architecture.md.
"""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from token_vending.credentials import Credentials, account_of
from token_vending.due import (
    LATE_MINT_WINDOW,
    LEASE,
    Rules,
    State,
    Verdict,
    choose_account,
    decide,
    failed_since,
    lease_over,
    recent_early_deaths,
    wait_after_failures,
)
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    MintError,
    StoreUnavailable,
    TokenVendingError,
    VendorUnavailable,
)
from token_vending.minting import Minting
from token_vending.ports import Clock, CredentialsSource, LabelHeld, Minted, TimeLeft, TokenStore, Vendor
from token_vending.requests import RefreshRequest, made_by
from token_vending.token import Intent, Token, to_rfc3339

LOCK = "MINTING"
ABANDONED = "ABANDONED"
"""On the intent of the last run that gave up alive. Should it hold the lock still, its lease is over."""
INTENT = "INTENT"
"""On the latest intent; whoever writes one moves it there."""
REFUSED_PREFIX = "REFUSED-"
"""Before a credentials version: the latch. On the intent of the run that was refused."""

CREDENTIALS_REFUSED = "credentials_refused"
PROBE_SUCCEEDED = "probe_succeeded"
_PROBE_TIMEOUT = 5.0
_LATCH_ATTEMPTS = 4
_SECONDS_TO_FAIL_IN = 1.0
_SPREAD = 0.3
"""Seconds over which a crowd of runs is spread: several times what a run takes from reading to its intent."""
_BEGINNING = timedelta(seconds=2)
"""How long after writing its intent a run may still be about to take the lock."""


class Outcome(StrEnum):
    """How a run ended that did not fail."""

    REFRESHED = "refreshed"
    FRESH = "fresh"
    BUSY = "busy"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did. `token` is the current one as far as this run knows."""

    outcome: Outcome
    reason: str
    token: Token | None
    warnings: tuple[str, ...] = ()

    def answer(self) -> dict[str, str | None]:
        """`{"outcome", "version", "expires_at", "reason"}`: the function's return value, never a token."""
        return {
            "outcome": self.outcome.value,
            "version": self.token.version if self.token else None,
            "expires_at": to_rfc3339(self.token.expires_at) if self.token else None,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Unstored:
    """A minted token that could not be stored, and the intent that holds the lock for it."""

    intent_version: str
    token: Token


@dataclass(slots=True)
class Refresher:
    """The use case. One lives as long as its process; `run` may be called again after any failure."""

    store: TokenStore
    primary: CredentialsSource
    vendor: Vendor
    clock: Clock
    sleep: Callable[[float], None]
    jitter: Callable[[float, float], float]
    new_version: Callable[[], str]
    rules: Rules = field(default_factory=Rules)
    standby: CredentialsSource | None = None
    probe: bool = False
    seen: Callable[[Token | None], None] = lambda _current: None
    """Told what the store holds whenever a run has read it, and so also in a run that fails later."""
    unstored: Unstored | None = field(default=None, repr=False)
    """A minted token that no store has taken yet; the next run in this process tries again."""

    def run(self, request: RefreshRequest, time_left: TimeLeft) -> Report:
        """Makes the invariant true and the token young enough, or says why nothing was to be done.

        Raises ConfigurationError, CredentialsRefused, VendorUnavailable, VendorProtocolError and
        StoreUnavailable; whatever is due then stays due for the next run. What went wrong beside the error is
        in its notes.
        """
        run = _Run(self, request, time_left)
        try:
            return run.go()
        except TokenVendingError as error:
            for warning in run.warnings:
                error.add_note(warning)
            raise


def _present_version(own: Credentials | None, token: Token | None) -> str:
    """The version of the account's credentials now; where they cannot be read they have not changed either."""
    if own is not None:
        return own.version
    return token.credentials_version if token is not None else ""


class _Run:
    def __init__(self, refresher: Refresher, request: RefreshRequest, time_left: TimeLeft) -> None:
        self._use = refresher
        self._store = refresher.store
        self._request = request
        self._time_left = time_left
        self.warnings: list[str] = []

    def go(self) -> Report:  # noqa: PLR0911 - one return for each way to have nothing to do
        if self._request.rejected_version is not None:
            # Rejections come in crowds. Spread over a moment, most of a crowd finds the first one at work.
            self._use.sleep(self._use.jitter(0.0, _SPREAD))
        token = self._read_current()
        own = self._own_credentials(token)
        labels = self._store.labels()
        state = State(token, _present_version(own, token), self._read_lock(labels))
        now = self._use.clock()
        verdict = decide(state, self._request, self._use.rules, now)
        if verdict is Verdict.REJECTED and token is not None and self._probe_succeeds(token):
            return self._report(Outcome.FRESH, PROBE_SUCCEEDED, token)
        if not verdict.due:
            if state.lock is not None:
                self._release(state.lock)
            return self._report(Outcome.FRESH, verdict, token)
        if state.unfinished is not None and not self._may_take_over(state.unfinished, labels, now):
            return self._report(Outcome.BUSY, verdict, token)
        account = choose_account(self._accounts(token, own), self._refusals(labels), self._request)
        if account is None:
            return self._report(Outcome.REFUSED, CREDENTIALS_REFUSED, token)

        last = self._last_attempt(state, labels)
        failures = self._failures_before(last, now)
        if self._somebody_begins(last, labels, now) and self._lock_gets_taken(state):
            return self._report(Outcome.BUSY, verdict, token)
        version = self._use.new_version()
        intent = Intent(version, self._request.attempt(version), now, verdict, failures)
        self._store.put_intent(intent)
        if not self._lock(intent, state):
            return self._report(Outcome.BUSY, verdict, token)
        return self._with_lock(intent, state, account, labels)

    # Reading -------------------------------------------------------------------------------------------

    def _read_current(self) -> Token | None:
        try:
            record = self._store.read_current()
        except ConfigurationError:
            # A secret that somebody overwrote by hand: minting is right only if a person asks for it.
            if not self._request.by_a_person:
                raise
            return None
        # The first version of a secret is AWSCURRENT whatever labels were asked for, an intent included.
        token = record if isinstance(record, Token) else None
        self._use.seen(token)
        unstored = self._use.unstored
        if token is not None and unstored is not None and token.run == unstored.token.run:
            # It was stored after all; only the answer was lost.
            self._use.unstored = None
        return token

    def _own_credentials(self, token: Token | None) -> Credentials | None:
        """The present credentials of the account that minted the token; None if only the other one's can be read."""
        standby = self._use.standby
        if standby is None:
            return self._use.primary.read()
        in_use = (
            standby if token is not None and standby.owns(token.credentials_version) else self._use.primary
        )
        try:
            return in_use.read()
        except ConfigurationError as error:
            self.warnings.append(f"One of the two accounts cannot be used: {error.detail}")
            return None

    def _accounts(self, token: Token | None, own: Credentials | None) -> Sequence[Credentials]:
        """Whose credentials to mint with, in order of preference: with two accounts, the one not in use."""
        standby = self._use.standby
        if standby is None:
            return [own] if own else []
        if token is None:
            # `own` is the primary's. The standby is there in case those credentials are latched.
            other_source, prefer_other = standby, False
        else:
            other_source = self._use.primary if standby.owns(token.credentials_version) else standby
            prefer_other = True
        try:
            other = other_source.read()
        except ConfigurationError as error:
            if own is None:
                raise
            self.warnings.append(f"One of the two accounts cannot be used: {error.detail}")
            return [own]
        if own is None:
            return [other]
        return [other, own] if prefer_other else [own, other]

    def _read_lock(self, labels: Mapping[str, str]) -> Intent | None:
        holder = labels.get(LOCK)
        if holder is None:
            return None
        # If the label lies on something that is no intent, nobody can be alive behind it, and nobody can say
        # that nothing was minted under it.
        unreadable = Intent(holder, "unreadable", None, "")
        try:
            record = self._store.read_version(holder)
        except ConfigurationError:
            return unreadable
        if record is None:
            # A version that holds a label exists: this read lags behind the one that showed the label, and the
            # run that wrote it may have begun a moment ago.
            raise StoreUnavailable("The lock lies on a version that cannot be read yet.", retry_after=5)
        return record if isinstance(record, Intent) else unreadable

    def _may_take_over(self, unfinished: Intent, labels: Mapping[str, str], now: datetime) -> bool:
        own = self._use.unstored
        return (
            lease_over(unfinished, now)
            or labels.get(ABANDONED) == unfinished.version
            or (own is not None and own.intent_version == unfinished.version)
        )

    def _last_attempt(self, state: State, labels: Mapping[str, str]) -> Intent | None:
        """The latest intent that no token has come of, if there is one since the last success.

        Writing an intent moves the label INTENT by itself, so this is known however a run has failed.
        """
        version = labels.get(INTENT)
        if version is None or (state.token is not None and made_by(state.token.run, version)):
            return None
        if any(label.startswith(REFUSED_PREFIX) for label, holder in labels.items() if holder == version):
            return None  # A refusal is no failure to wait after: the latch sees to that.
        if state.unfinished is not None and state.unfinished.version == version:
            return state.unfinished
        try:
            record = self._store.read_version(version)
        except ConfigurationError:
            return None
        return record if isinstance(record, Intent) and failed_since(record, state.token) else None

    def _failures_before(self, last: Intent | None, now: datetime) -> int:
        """How many runs in a row have failed. Raises VendorUnavailable while it is too early for another one."""
        if last is None:
            return 0
        failures = last.failures + 1
        in_hand = self._use.unstored is not None and self._use.unstored.intent_version == last.version
        wait = wait_after_failures(failures, last, now)
        if wait > timedelta(0) and not (self._request.by_a_person or in_hand):
            seconds = math.ceil(wait.total_seconds())
            raise VendorUnavailable(
                f"Nothing was tried: {failures} runs in a row have failed, their errors say why, and the next one "
                f"may try in {seconds} s. Secrets Manager keeps what every attempt writes for a day, up to its quota.",
                retry_after=seconds,
            )
        return failures

    def _somebody_begins(self, last: Intent | None, labels: Mapping[str, str], now: datetime) -> bool:
        """Whether another run has just written its intent, and so is about to take the lock."""
        if last is None or last.started_at is None or labels.get(ABANDONED) == last.version:
            return False
        return labels.get(LOCK) != last.version and abs(now - last.started_at) < _BEGINNING

    def _lock_gets_taken(self, state: State) -> bool:
        """Whether that other run has the lock a moment later: one version less that nobody needs."""
        self._use.sleep(self._use.jitter(0.1, _SPREAD))
        return self._store.labels().get(LOCK) not in (None, state.lock.version if state.lock else None)

    def _refusals(self, labels: Mapping[str, str]) -> dict[str, str | None]:
        """The latched credentials versions; for a forced run also which run was refused for each."""
        refusals: dict[str, str | None] = {}
        for label, version in labels.items():
            if not label.startswith(REFUSED_PREFIX):
                continue
            run = None
            if self._request.by_a_person:
                record = self._store.read_version(version)
                run = record.run if isinstance(record, Intent) else None
            refusals[label.removeprefix(REFUSED_PREFIX)] = run
        return refusals

    def _probe_succeeds(self, token: Token) -> bool:
        if not self._use.probe:
            return False
        works = self._use.vendor.answers_to(token, timeout=_PROBE_TIMEOUT)
        if works is None:
            self.warnings.append(
                "The probe told nothing about the rejected token; the rejection is believed."
            )
        return works is True

    # Under the lock ------------------------------------------------------------------------------------

    def _lock(self, intent: Intent, state: State) -> bool:
        expected_on = state.lock.version if state.lock else None
        try:
            self._store.move_label(LOCK, to=intent.version, expected_on=expected_on)
        except LabelHeld:
            return False
        except StoreUnavailable:
            # The answer is lost, the label may lie on our intent all the same: hand it back unused. Should
            # that fail too, the lease ends and the next run mints once more than needed.
            self._give_back(intent, open_question=state.unfinished is not None)
            raise
        return True

    def _with_lock(
        self, intent: Intent, before: State, account: Credentials | None, labels: Mapping[str, str]
    ) -> Report:
        # Whoever took the lock over an unfinished run inherits its question: was something minted?
        open_question = before.unfinished is not None
        try:
            # The state was read before the lock was ours: another run may have served it in between.
            token = self._read_current()
            state = replace(before, token=token)
            if token is not None and (before.token is None or token.version != before.token.version):
                # Another run minted since: maybe with credentials newer than the ones read here, or with the
                # other account.
                own = self._own_credentials(token)
                state = replace(state, credentials_version=_present_version(own, token))
                account = choose_account(self._accounts(token, own), self._refusals(labels), self._request)
            open_question = state.unfinished is not None
            verdict = decide(state, self._request, self._use.rules, self._use.clock())
        except TokenVendingError:
            self._give_back(intent, open_question=open_question)
            raise
        if not verdict.due:
            self._release(intent)
            return self._report(Outcome.FRESH, verdict, token)
        if account is None:
            self._give_back(intent, open_question=open_question)
            return self._report(Outcome.REFUSED, CREDENTIALS_REFUSED, token)

        unstored = self._use.unstored
        self._use.unstored = None
        question = state.unfinished
        if unstored is not None and question is not None and question.version == unstored.intent_version:
            # Nobody held the lock since this process minted: that token is still the last one minted.
            new = replace(unstored.token, version=self._use.new_version(), run=intent.run)
        else:
            new = self._mint(intent, state, account, labels, verdict, open_question=open_question)
        self._keep(intent, new)
        self._unlatch(new, labels)
        self._release(intent)
        return self._report(Outcome.REFRESHED, verdict, new)

    def _mint(  # noqa: PLR0913
        self,
        intent: Intent,
        state: State,
        account: Credentials,
        labels: Mapping[str, str],
        verdict: Verdict,
        *,
        open_question: bool,
    ) -> Token:
        use = self._use
        minting = Minting(
            use.vendor, clock=use.clock, time_left=self._time_left, sleep=use.sleep, jitter=use.jitter
        )
        try:
            minted, began = minting.mint(account)
        except CredentialsRefused:
            self._latch(intent, account, labels)
            # A refusal mints nothing, but it says nothing either about what may have been minted before it.
            self._give_back(intent, open_question=open_question or minting.ambiguous)
            raise
        except (MintError, ConfigurationError):
            self._give_back(intent, open_question=open_question or minting.ambiguous)
            raise
        if minted.warning is not None:
            self.warnings.append(minted.warning)
        return self._token(
            intent, minted, began, account, state, verdict=verdict, ambiguous=minting.ambiguous
        )

    def _token(  # noqa: PLR0913
        self,
        intent: Intent,
        minted: Minted,
        began: datetime,
        account: Credentials,
        state: State,
        *,
        verdict: Verdict,
        ambiguous: bool,
    ) -> Token:
        left_open = state.unfinished
        may_land_late = ambiguous or (
            left_open is not None
            # That run may have sent its last attempt just before its lease was over.
            and (left_open.started_at is None or began - left_open.started_at < LEASE + LATE_MINT_WINDOW)
        )
        suspect_until = began + LATE_MINT_WINDOW if may_land_late else None
        if suspect_until is None and state.token is not None and state.token.suspect(began):
            # What could have killed the token before this one can kill this one too.
            suspect_until = state.token.suspect_until
        deaths = recent_early_deaths(state.token, began)
        return Token(
            version=self._use.new_version(),
            issued_at=began,
            expires_at=began + minted.lifetime,
            credentials_version=account.version,
            reason=verdict,
            run=intent.run,
            user_id=minted.user_id,
            suspect_until=suspect_until,
            early_deaths=(*deaths, began) if verdict is Verdict.REJECTED else deaths,
            _secret=minted.access_token,
        )

    def _keep(self, intent: Intent, token: Token) -> None:
        """Stores the token that exists nowhere else, for as long as there is time."""
        self._use.unstored = Unstored(intent.version, token)
        try:
            self._insist(lambda: self._store.put_token(token))
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"A token was minted and could not be stored: {error.detail} The token in the store is dead; "
                "the next run mends it."
            ) from error
        self._use.unstored = None

    def _insist(self, write: Callable[[], None], *, attempts: int | None = None) -> None:
        attempt = 0
        while True:
            try:
                return write()
            except StoreUnavailable:
                attempt += 1
                pause = self._use.jitter(0.0, min(4.0, 0.1 * 2**attempt))
                if attempt == attempts or self._time_left() - pause < _SECONDS_TO_FAIL_IN:
                    raise
            self._use.sleep(pause)

    # Letting go ----------------------------------------------------------------------------------------

    def _latch(self, intent: Intent, account: Credentials, labels: Mapping[str, str]) -> None:
        label = REFUSED_PREFIX + account.version
        try:
            self._insist(
                lambda: self._store.move_label(label, to=intent.version, expected_on=labels.get(label)),
                attempts=_LATCH_ATTEMPTS,
            )
        except LabelHeld:
            pass  # Another run was refused with the same credentials: latched all the same.
        except StoreUnavailable as error:
            self.warnings.append(f"The refused credentials could not be latched: {error.detail}")
        # A secret can hold 20 labels in all, so what this account's older credentials left goes.
        for old, version in labels.items():
            refused = old.removeprefix(REFUSED_PREFIX)
            if old not in (label, refused) and account_of(refused) == account.account:
                with contextlib.suppress(LabelHeld, StoreUnavailable):
                    self._store.remove_label(old, expected_on=version)

    def _unlatch(self, token: Token, labels: Mapping[str, str]) -> None:
        """Credentials that a person sent again and that worked must not stay refused for every later tick."""
        label = REFUSED_PREFIX + token.credentials_version
        if label in labels:
            try:
                self._insist(
                    lambda: self._store.remove_label(label, expected_on=labels[label]),
                    attempts=_LATCH_ATTEMPTS,
                )
            except (LabelHeld, StoreUnavailable):
                self.warnings.append("The credentials work again, but stay latched: force once more.")

    def _give_back(self, intent: Intent, *, open_question: bool) -> None:
        """Ends a failed run's hold: for good if nothing was minted for certain, else only its lease."""
        if not open_question:
            self._release(intent)
        try:
            holder = self._store.labels().get(ABANDONED)
            self._store.move_label(ABANDONED, to=intent.version, expected_on=holder)
        except (LabelHeld, StoreUnavailable):
            pass  # The lease ends by itself, and a failure that is not counted is only tried again sooner.

    def _release(self, intent: Intent) -> None:
        try:
            self._store.remove_label(LOCK, expected_on=intent.version)
        except LabelHeld:
            pass  # Somebody found the run finished and released it for us.
        except StoreUnavailable as error:
            # A finished run's lock hinders nobody, and the next run takes it away.
            self.warnings.append(f"The lock could not be released: {error.detail}")

    def _report(self, outcome: Outcome, reason: str, token: Token | None) -> Report:
        return Report(outcome, str(reason), token, tuple(self.warnings))
