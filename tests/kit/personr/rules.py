"""The vendor's rules: one live token an account, a mint kills the one before. What PersonrServer serves over HTTP
and the simulation asks directly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

type NewToken = Callable[[int, "Origin"], str]
LIFETIME = timedelta(seconds=31_536_000)
IDLE_LIFETIME = timedelta(days=30)
"""Bubble drops a token that nobody uses for so long; each use extends it."""


class Origin(StrEnum):
    OURS = "ours"
    LATE = "ours, long after we stopped waiting"
    FOREIGN = "somebody else with our account"


@dataclass(frozen=True, slots=True)
class Mint:
    token: str
    email: str
    at: datetime
    origin: Origin


@dataclass(slots=True)
class _Account:
    password: str
    user_id: str
    live: str | None = None
    expires_at: datetime | None = None
    used_at: datetime | None = None
    others: dict[str, datetime] = field(default_factory=dict)
    """Earlier tokens that work until they expire, where a mint kills none."""


class WrongCredentialsError(Exception):
    """INVALID_LOGIN_CREDENTIALS."""


def _numbered(number: int, origin: Origin) -> str:
    return f"bus|{number:08d}|{origin.name}"


class Personr:
    """The vendor's state. `new_token` is told the mint's number and origin; by default the same in every replay.
    `history` holds every mint, oldest first; `sent` every password that was tried.
    """

    def __init__(self, clock: Callable[[], datetime], new_token: NewToken = _numbered) -> None:
        self._clock = clock
        self._new_token = new_token
        self._accounts: dict[str, _Account] = {}
        self.history: list[Mint] = []
        self.sent: list[tuple[str, str]] = []
        self.lifetime = LIFETIME
        self.destructive = True
        self.idle_lifetime: timedelta | None = IDLE_LIFETIME

    def set_password(self, email: str, password: str) -> None:
        fresh = _Account(password, f"{len(self._accounts) + 1}x1")
        self._accounts.setdefault(email, fresh).password = password

    def accepts(self, email: str, password: str) -> bool:
        account = self._accounts.get(email)
        return account is not None and account.password == password

    def mint(self, email: str, password: str, origin: Origin = Origin.OURS) -> Mint:
        """Kills the live token and makes the next. Raises WrongCredentialsError, and then kills nothing."""
        if origin is Origin.OURS:
            self.sent.append((email, password))
        if not self.accepts(email, password):
            raise WrongCredentialsError
        return self._mint(email, self._accounts[email], origin)

    def mint_elsewhere(self, email: str, origin: Origin = Origin.FOREIGN) -> Mint:
        """What somebody else does who has the same account."""
        return self._mint(email, self._accounts[email], origin)

    def kill(self, email: str) -> None:
        self._accounts[email].live = None
        self._accounts[email].others.clear()

    def works(self, token: str) -> bool:
        return self.account_of(token) is not None

    def use(self, token: str) -> bool:
        """A call with this token: whether it was answered. Counts against the idle lifetime."""
        found = self.account_of(token)
        if found is not None:
            self._accounts[found[0]].used_at = self._clock()
        return found is not None

    def account_of(self, token: str) -> tuple[str, str] | None:
        """E-mail and user id behind a live token."""
        now = self._clock()
        for email, account in self._accounts.items():
            if (account.live == token and self._alive(account, now)) or now < account.others.get(token, now):
                return email, account.user_id
        return None

    def user_id(self, email: str) -> str:
        return self._accounts[email].user_id

    def live_token(self, email: str) -> str | None:
        account = self._accounts[email]
        return account.live if self._alive(account, self._clock()) else None

    def _mint(self, email: str, account: _Account, origin: Origin) -> Mint:
        now = self._clock()
        mint = Mint(self._new_token(len(self.history) + 1, origin), email, now, origin)
        if not self.destructive and account.live is not None and account.expires_at is not None:
            account.others[account.live] = account.expires_at
        account.live, account.expires_at, account.used_at = mint.token, now + self.lifetime, now
        self.history.append(mint)
        return mint

    def _alive(self, account: _Account, now: datetime) -> bool:
        if account.live is None or account.expires_at is None or account.used_at is None:
            return False
        idle = self.idle_lifetime is not None and now - account.used_at >= self.idle_lifetime
        return now < account.expires_at and not idle
