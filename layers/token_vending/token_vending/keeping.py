"""The token that was just minted: what is written of it, and how hard. It exists nowhere else until it is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from token_vending.credentials import Credentials
from token_vending.due import LATE_MINT_WINDOW, may_be_killed_late
from token_vending.errors import StoreUnavailable
from token_vending.observing import Observation
from token_vending.ports import Minted, TimeLeft, TokenStore
from token_vending.token import History, Intent, Token

_SECONDS_TO_FAIL_IN = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 4.0


@dataclass(frozen=True, slots=True)
class Insistence:
    """How one run tries a write again: so many times in all, and no longer than there is time."""

    time_left: TimeLeft
    sleep: Callable[[float], None]
    jitter: Callable[[float, float], float]
    attempts: int | None = None

    def __call__(self, write: Callable[[], None]) -> None:
        """Raises what the last attempt raised."""
        attempt = 0
        while True:
            try:
                return write()
            except StoreUnavailable:
                pause = self.jitter(0.0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))
                attempt += 1
                if attempt == self.attempts or self.time_left() - pause < _SECONDS_TO_FAIL_IN:
                    raise
            self.sleep(pause)


def minted_token(  # noqa: PLR0913
    minted: Minted,
    began: datetime,
    intent: Intent,
    state: Observation,
    account: Credentials,
    *,
    version: str,
    ambiguous: bool,
) -> Token:
    """The record of a mint that began at that moment. `ambiguous`: an attempt before it may have minted too."""
    suspect_until = None
    if ambiguous or may_be_killed_late(began, state.unfinished):
        suspect_until = began + LATE_MINT_WINDOW
    elif state.token is not None and state.token.suspect(began):
        # What could have killed the token before this one can kill this one too.
        suspect_until = state.token.suspect_until
    return Token(
        version=version,
        issued_at=began,
        expires_at=began + minted.lifetime,
        credentials_version=account.version,
        reason=intent.reason,
        run=intent.run,
        user_id=minted.user_id,
        suspect_until=suspect_until,
        history=History(caller_mints=intent.history.caller_mints),
        _secret=minted.access_token,
    )


def keep(store: TokenStore, token: Token, insist: Insistence) -> None:
    """Stores the token, for as long as there is time."""
    try:
        insist(lambda: store.put_token(token))
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"A token was minted and could not be stored: {error.detail} The one in the store may be dead; "
            "the next run mints again."
        ) from error
