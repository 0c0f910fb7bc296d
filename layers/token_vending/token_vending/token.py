"""The token as one value, and the moment as one reading of the clock."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple


def fingerprint(secret: str) -> str:
    """The first 12 hex digits of the SHA-256: enough to tell two tokens apart in a log, useless otherwise."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def utc_now() -> datetime:
    """The wall clock, aware, in UTC. A monotonic clock would not do: Lambda freezes between invocations."""
    return datetime.now(UTC)


def to_rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with a Z: `2026-11-24T02:15:00.123456Z`, fractions only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_rfc3339(text: str) -> datetime:
    """The inverse of `to_rfc3339`. Raises ValueError for anything else, a missing offset included."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset from UTC")
    return moment.astimezone(UTC)


class History(NamedTuple):
    """What a run must know of earlier ones. `history.py` has the rules, the records carry it.

    `caller_mints`: when, within the last day, callers caused a mint. `failures`: how many runs in a row failed
    before this one, and `failing_since`: when the first of them began.
    """

    caller_mints: tuple[datetime, ...] = ()
    failures: int = 0
    failing_since: datetime | None = None


NO_HISTORY = History()


@dataclass(frozen=True, slots=True)
class Token:
    """One access token as the store keeps it. `version` is the VersionId of the secret it lies in.

    Frozen and swapped whole, so that no reader ever sees a token with another's expiry. The plaintext
    leaves through `access_token()` only; the repr shows a fingerprint.
    """

    version: str
    issued_at: datetime
    expires_at: datetime
    credentials_version: str
    reason: str
    run: str
    user_id: str | None = None
    suspect_until: datetime | None = None
    history: History = NO_HISTORY
    _secret: str = field(default="", repr=False)
    fingerprint: str = field(init=False)
    """What logs show of it, made once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", fingerprint(self._secret))

    def __repr__(self) -> str:
        return f"Token(version={self.version!r}, fingerprint={self.fingerprint!r}, expires_at={self.expires_at:%FT%TZ})"

    def access_token(self) -> str:
        """The plaintext: for the store and the hand-out, for nothing else."""
        return self._secret

    def age(self, now: datetime) -> timedelta:
        """Since its mint began."""
        return now - self.issued_at

    def remaining(self, now: datetime) -> timedelta:
        """Until it expires; negative after that."""
        return self.expires_at - now

    def expired(self, now: datetime) -> bool:
        """Whether it must not be handed out."""
        return now >= self.expires_at

    def suspect(self, now: datetime) -> bool:
        """Whether an older mint of ours may still land at the vendor and kill this token."""
        return self.suspect_until is not None and now < self.suspect_until


@dataclass(frozen=True, slots=True)
class Intent:
    """A run's announcement that it is about to mint, and its hold of the lock. Holds no token.

    `attempt` is a value drawn for this very attempt, so that no two attempts ever write the same text.
    """

    version: str
    run: str
    started_at: datetime | None
    reason: str
    history: History = NO_HISTORY
    attempt: str = ""

    def finished_by(self, token: Token | None) -> bool:
        """Whether that token is what this run has minted."""
        return token is not None and token.run == self.run
