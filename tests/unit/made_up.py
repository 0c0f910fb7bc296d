"""Values that the unit tests share: one moment, one token, one account. All secrets are made up."""

from copy import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from token_vending.credentials import Credentials
from token_vending.token import Intent, Token

NOW = datetime(2026, 11, 24, 2, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)

VERSION = "11111111-0000-4000-8000-000000000000"
CREDENTIALS_VERSION = "22222222-0000-4000-8000-000000000000"
SECRET = "bus|1700000000000x1|1700000000000x2"
_TOKEN = Token(
    version=VERSION,
    issued_at=NOW - DAY,
    expires_at=NOW + YEAR,
    credentials_version=CREDENTIALS_VERSION,
    reason="too_old",
    run="run-1/intent-1",
    user_id="1x1",
    _secret=SECRET,
)


def token(**changes: Any) -> Token:
    """A healthy token, a day old, with a year to go; `secret` is its plaintext."""
    if "secret" in changes:
        changes["_secret"] = changes.pop("secret")
    return replace(_TOKEN, **changes)


def aged(age: timedelta, **changes: Any) -> Token:
    """A token of that age."""
    return token(issued_at=NOW - age, **changes)


def expiring(left: timedelta, lifetime: timedelta = YEAR, **changes: Any) -> Token:
    """A token with so much life left of so long a life."""
    return token(issued_at=NOW + left - lifetime, expires_at=NOW + left, **changes)


def intent(**changes: Any) -> Intent:
    """An intent of another run than the token's, half a minute old."""
    plain = Intent("33333333-0000-4000-8000-000000000000", "run-2/intent-2", NOW - 30 * SECOND, "too_old")
    return replace(plain, **changes)


def credentials(version: str = CREDENTIALS_VERSION, password: str = "made up") -> Credentials:
    """One account's credentials."""
    return Credentials(version, {"email": "service-account@example.com", "password": password})
