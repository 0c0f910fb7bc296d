"""Which events a refresh run gives rise to, for those who integrate. docs/schemas has their forms.

A run that found nothing to do gives rise to none, and no event holds a token.
"""

from datetime import datetime

from token_vending.errors import CredentialsRefused, TokenVendingError
from token_vending.refreshing import Outcome, Report
from token_vending.token import Token, to_rfc3339

type Events = dict[str, dict[str, str | None]]
"""Detail type → detail."""


def after_run(report: Report, stack: str, now: datetime) -> Events:
    """The events of a run that returned."""
    if report.outcome is Outcome.REFRESHED:
        return {"TokenRefreshed": _detail(report.token, report.reason, stack, now)}
    if report.outcome is Outcome.BUSY:
        return {}  # The run that is at work has its own.
    return _missing(report.token, report.reason, stack, now)


def after_failure(
    error: TokenVendingError, current: Token | None, stack: str, now: datetime, *, has_read: bool
) -> Events:
    """The events of a run that raised. `current` is what the store held; without `has_read` that is not known."""
    reason = type(error).__name__
    events: Events = {}
    if isinstance(error, CredentialsRefused):
        events["CredentialsRefused"] = _detail(current, reason, stack, now)
    if has_read:
        events |= _missing(current, reason, stack, now)
    return events


def _missing(token: Token | None, reason: str, stack: str, now: datetime) -> Events:
    if token is not None and not token.expired(now):
        return {}
    return {"TokenMissing": _detail(token, reason, stack, now)}


def _detail(token: Token | None, reason: str, stack: str, now: datetime) -> dict[str, str | None]:
    return {
        "stack": stack,
        "version": token.version if token else None,
        "expires_at": to_rfc3339(token.expires_at) if token else None,
        "reason": reason,
        "occurred_at": to_rfc3339(now),
    }
