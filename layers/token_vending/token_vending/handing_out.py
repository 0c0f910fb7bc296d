"""Handing the token out: the cache, the rejections, and what a caller gets when there is none.

AWSPREVIOUS is always dead here: nothing falls back to it. An expired token is never handed out.
"""

from collections.abc import Mapping
from contextlib import suppress
from copy import replace
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from token_vending.errors import StoreUnavailable, TokenUnavailable, TokenVendingError
from token_vending.history import until_rejectable
from token_vending.requests import VendRequest
from token_vending.token import Token, to_rfc3339

if TYPE_CHECKING:
    from token_vending.ports import Clock, RefreshStarter, TokenReader

RETRY_AFTER = timedelta(seconds=2)
"""How soon to ask again while a refresh runs: one takes a second or two with a healthy vendor."""

HANDED_OUT_WITHIN = timedelta(seconds=10)
"""How old a new token is, at the most, when the callers that wait for it get it."""

STORE_PAUSE = timedelta(seconds=5)
"""How long a copy serves without another try, after the store could not be read: a try may take seconds."""


class HandOut(NamedTuple):
    """What a caller gets. `answer()` is the only way the plaintext leaves."""

    token: Token
    expires_in: int
    cache_seconds: int
    cache_hit: bool
    warning: str | None = None

    def answer(self) -> dict[str, str | int]:
        """RFC 6749 §5.1 names; `expires_in` and `cache_seconds` in seconds, `expires_at` RFC 3339 UTC."""
        return {
            "access_token": self.token.access_token(),
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "expires_at": to_rfc3339(self.token.expires_at),
            "version": self.token.version,
            "cache_seconds": self.cache_seconds,
        }


class _Copy(NamedTuple):
    token: Token
    read_at: datetime

    def fresh(self, now: datetime, cache_for: timedelta) -> bool:
        # A clock that was set back makes a copy's age unknown, not small.
        return not self.token.expired(now) and timedelta(0) <= now - self.read_at < cache_for


class _Starts:
    """Starts refreshes, from this process at most one per event and RETRY_AFTER."""

    def __init__(self, refresh: "RefreshStarter") -> None:
        self._refresh = refresh
        self._latest: dict[str, datetime] = {}

    def start(self, event: Mapping[str, object], now: datetime) -> str:
        """Says in a sentence what came of it."""
        last = self._latest.get(str(event))
        if last is not None and timedelta(0) <= now - last < RETRY_AFTER:
            return "A refresh has been started; ask again."
        try:
            self._refresh.start(event)
        except StoreUnavailable as error:
            return f"A refresh could not be started: {error.detail} Ask again."
        self._latest = {past: at for past, at in self._latest.items() if now - at < RETRY_AFTER}
        self._latest[str(event)] = now
        return "A refresh was started; ask again."


@dataclass(slots=True)
class HandOutDesk:
    """The use case. Lives as long as its process; Lambda gives it one request at a time."""

    store: "TokenReader"
    refresh: "RefreshStarter"
    clock: "Clock"
    cache_for: timedelta = timedelta(seconds=300)
    min_age: timedelta = timedelta(seconds=60)
    probed: bool = False
    """Whether the refresh function tries a reported token before it believes the report."""
    _copy: _Copy | None = field(default=None, repr=False)
    _starts: _Starts = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._starts = _Starts(self.refresh)

    def read_ahead(self, store: "TokenReader") -> None:
        """Reads the token before anybody has asked, so that the first request finds it.

        `store` is one that gives up soon. Raises nothing of ours: what cannot be read now is read when asked for.
        """
        now = self.clock()
        with suppress(TokenVendingError):
            record = store.read_current()
            if isinstance(record, Token):
                self._copy = _Copy(record, now)

    def hand_out(self, request: VendRequest) -> HandOut:
        """The current token.

        Raises TokenUnavailable (with `retry_after`) when there is none to give or the current one is the
        rejected one, StoreUnavailable when it cannot be read and no good copy is at hand, and
        ConfigurationError for a secret that holds no token of ours.
        """
        now = self.clock()
        rejected = request.rejected_version
        copy = self._copy
        # A caller that rejects any version may know a newer one than this copy: only the store can tell.
        if copy is not None and rejected is None and copy.fresh(now, self.cache_for):
            return self._answer(copy.token, request, now, cache_hit=True)
        token, warning = self._read(now, rejected)
        # The store may have taken seconds to answer, or not to: what has expired meanwhile is not handed out.
        now = self.clock()
        if token is None:
            # A plain tick: the refresh function decides, however often callers ask.
            said = self._starts.start({"id": f"missing/{now:%Y%m%dT%H%M}"}, now)
            raise TokenUnavailable(
                f"No token has been minted yet. {said} If it persists, check that the credentials secret is set.",
                retry_after=_seconds(RETRY_AFTER),
            )
        if token.version == rejected:
            said = self._starts.start({"rejected_version": rejected}, now)
            wait = until_rejectable(token, now, self.min_age, proven_dead=self.probed)
            if wait > RETRY_AFTER:
                said = f"Callers may cause the next refresh in {_seconds(wait)} s."
            raise TokenUnavailable(
                f"The rejected version is still the current one. {said}",
                retry_after=_seconds(max(RETRY_AFTER, wait)),
            )
        return self._answer(token, request, now, cache_hit=False, warning=warning)

    def _read(self, now: datetime, rejected: str | None) -> tuple[Token | None, str | None]:
        copy = self._copy
        try:
            record = self.store.read_current()
        except StoreUnavailable as error:
            now = self.clock()
            if copy is None or copy.token.expired(now) or copy.token.version == rejected:
                raise
            # Better a copy that may be old than nothing: it is not expired, and a caller that finds it dead reports it.
            # The next callers get it at once for a while, instead of waiting for a store that does not answer.
            self._copy = replace(copy, read_at=now - max(timedelta(0), self.cache_for - STORE_PAUSE))
            return copy.token, f"The store cannot be read, a copy was handed out: {error.detail}"
        token = record if isinstance(record, Token) else None
        if token is not None:
            self._copy = _Copy(token, now)
        return token, None

    def _answer(
        self,
        token: Token,
        request: VendRequest,
        now: datetime,
        *,
        cache_hit: bool,
        warning: str | None = None,
    ) -> HandOut:
        expires_in = int(token.remaining(now).total_seconds())
        if expires_in < 1:
            said = self._starts.start({"id": f"expired/{token.version}"}, now)
            raise TokenUnavailable(f"The token has expired. {said}", retry_after=_seconds(RETRY_AFTER))
        cache_seconds = min(_seconds(self.cache_for), expires_in)
        if expires_in < request.min_seconds and self._renewal_would_help(token, request, now):
            # Names the version, so that it is served once for everybody, and not by sending latched credentials.
            event = {"id": f"min-seconds/{token.version}", "force": True, "rejected_version": token.version}
            warning = f"Too short-lived for a caller. {self._starts.start(event, now)}"
            cache_seconds = min(cache_seconds, _seconds(RETRY_AFTER))
        return HandOut(token, expires_in, cache_seconds, cache_hit=cache_hit, warning=warning)

    def _renewal_would_help(self, token: Token, request: VendRequest, now: datetime) -> bool:
        """Whether callers may cause a new token, and it would live long enough once it is handed out, if it lives
        as long as this one.
        """
        lifetime = token.expires_at - token.issued_at - HANDED_OUT_WITHIN
        return lifetime.total_seconds() >= request.min_seconds and until_rejectable(
            token, now, self.min_age, wish=True
        ) <= timedelta(0)


def _seconds(duration: timedelta) -> int:
    """Whole seconds, rounded up: a caller that waits this long has waited long enough."""
    return -int(-duration.total_seconds() // 1)
