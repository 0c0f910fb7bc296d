"""The refresh protocol, from top to bottom: observe, decide, claim, mint, keep, release.

The invariant: the version labelled AWSCURRENT is the token that the vendor minted last. It can be broken only
between the vendor's answer and our write. While it may be broken, the lock label lies on an intent whose run
id the current token does not carry, and every later run takes that for its first reason to mint.

Each phase is a module that owns its rules: `observing`, `due`, `history`, `accounts`, `claiming`, `minting`, `keeping`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from token_vending.accounts import Accounts, choose_account, latch, unlatch
from token_vending.claiming import check_pause, check_room, claim, give_up, release
from token_vending.credentials import Credentials
from token_vending.due import Rules, State, Verdict, decide
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    MintError,
    TokenVendingError,
)
from token_vending.keeping import Insistence, keep, minted_token
from token_vending.minting import Minting
from token_vending.observing import Observation, observe, with_last_attempt
from token_vending.ports import Clock, Issuer, TimeLeft, TokenStore
from token_vending.requests import RefreshRequest
from token_vending.token import Intent, Token, to_rfc3339

CREDENTIALS_REFUSED = "credentials_refused"
_PROBE_TIMEOUT = 5.0
_LATCH_ATTEMPTS = 4


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


@dataclass(slots=True)
class Refresher:
    """The use case. It keeps nothing between runs: what they know of each other lies in the store."""

    store: TokenStore
    accounts: Accounts
    issuer: Issuer
    clock: Clock
    sleep: Callable[[float], None]
    jitter: Callable[[float, float], float]
    new_version: Callable[[], str]
    rules: Rules = field(default_factory=Rules)
    probe: bool = False
    seen: Callable[[Token | None], None] = lambda _current: None
    """Told what the store holds whenever a run has read it, and so also in a run that fails later."""

    def run(self, request: RefreshRequest, time_left: TimeLeft) -> Report:
        """Makes the invariant true and the token young enough, or says why nothing was to be done.

        Raises ConfigurationError, CredentialsRefused, VendorUnavailable, VendorProtocolError and
        StoreUnavailable; whatever is due then stays due for the next run. What went wrong beside the error is
        in its notes.
        """
        notes: list[str] = []
        try:
            outcome, reason, token = self._phases(request, time_left, notes)
        except TokenVendingError as error:
            for note in notes:
                error.add_note(note)
            raise
        return Report(outcome, str(reason), token, tuple(notes))

    def _phases(
        self, request: RefreshRequest, time_left: TimeLeft, notes: list[str]
    ) -> tuple[Outcome, str, Token | None]:
        state = observe(self.store, request)
        self.seen(state.token)
        own = self.accounts.in_use(state.token, notes)
        now = self.clock()
        verdict = self._decide(state, own, request, now, notes)
        if not verdict.due:
            if state.leftover is not None:
                release(self.store, state.leftover, notes)
            return Outcome.FRESH, verdict, state.token
        if state.may_be_alive(now):
            return Outcome.BUSY, verdict, state.token

        accounts = self.accounts.to_mint_with(state.token, own, notes)
        account = choose_account(accounts, state.labels, request, self.store.read_version)
        if account is None:
            return Outcome.REFUSED, CREDENTIALS_REFUSED, state.token
        state = with_last_attempt(self.store, state)
        check_pause(state, request, now)
        check_room(self.store, state, request, verdict, now, notes=notes)

        intent = claim(self.store, state, request, verdict, now, attempt=self.new_version())
        if intent is None:
            return Outcome.BUSY, verdict, state.token
        token = self._mint(intent, state, account, time_left, notes)
        insist = Insistence(time_left, self.sleep, self.jitter)
        keep(self.store, token, insist)
        few = replace(insist, attempts=_LATCH_ATTEMPTS)
        unlatch(self.store, token.credentials_version, state.labels, insist=few, notes=notes)
        release(self.store, intent.version, notes)
        return Outcome.REFRESHED, verdict, token

    def _decide(
        self,
        seen: Observation,
        own: Credentials | None,
        request: RefreshRequest,
        now: datetime,
        notes: list[str],
    ) -> Verdict:
        token = seen.token
        # Where the credentials cannot be read, they have not changed either.
        present = own.version if own is not None else token.credentials_version if token is not None else ""
        state = State(token, present, seen.unfinished)
        verdict = decide(state, request, self.rules, now)
        if not self.probe or token is None or request.force:
            return verdict
        if verdict is Verdict.REJECTED or verdict is Verdict.TOO_YOUNG_TO_REJECT:
            works = self.issuer.answers_to(token, timeout=_PROBE_TIMEOUT)
            if works is None:
                notes.append("The probe told nothing about the rejected token: the caller is believed.")
                return verdict
            if works:
                return Verdict.PROBE_SUCCEEDED
            return decide(state, request, self.rules, now, proven_dead=True)
        return verdict

    def _mint(
        self, intent: Intent, state: Observation, account: Credentials, time_left: TimeLeft, notes: list[str]
    ) -> Token:
        minting = Minting(
            self.issuer, clock=self.clock, time_left=time_left, sleep=self.sleep, jitter=self.jitter
        )
        try:
            minted, began = minting.mint(account)
        except (MintError, ConfigurationError) as error:
            if isinstance(error, CredentialsRefused):
                few = Insistence(time_left, self.sleep, self.jitter, _LATCH_ATTEMPTS)
                latch(self.store, intent, account, state.labels, insist=few, notes=notes)
            give_up(self.store, intent, state, notes, may_have_minted=minting.ambiguous)
            raise
        if minted.warning is not None:
            notes.append(minted.warning)
        return minted_token(
            minted, began, intent, state, account, version=self.new_version(), ambiguous=minting.ambiguous
        )
