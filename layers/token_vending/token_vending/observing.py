"""What a run sees before it decides: one reading of the labels, and the records that they lie on.

DescribeSecret is the snapshot. Everything else is read by version id, and a version never changes, so the
records belong to that snapshot however far a read lags behind. That the snapshot itself is not out of date is
shown later, by `claiming`.
"""

import hashlib
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from token_vending.accounts import REFUSED_PREFIX
from token_vending.due import lease_over
from token_vending.errors import ConfigurationError
from token_vending.ports import ABANDONED, CURRENT, INTENT, LOCK, TokenStore
from token_vending.requests import RefreshRequest, made_by
from token_vending.token import Intent, Token


class Observation(NamedTuple):
    """`unfinished` is the intent that the lock lies on, unless the current token came of it. `leftover` is a version
    that the lock lies on without any question: it is only to be released.

    `last` is the latest attempt that gave no token, if there was one since the last success, and `refused` says
    whether its credentials were refused; both are known from `with_last_attempt` on.
    """

    labels: Mapping[str, str]
    token: Token | None
    unfinished: Intent | None
    leftover: str | None
    last: Intent | None = None
    refused: bool = False

    def may_be_alive(self, now: datetime) -> bool:
        """Whether the unfinished run may still be at work."""
        run = self.unfinished
        return run is not None and not lease_over(run, now) and self.labels.get(ABANDONED) != run.version

    @property
    def next_version(self) -> str:
        """The version that the next intent has to have: it follows from this state, and from no other."""
        return version_after(self.labels.get(CURRENT), self.labels.get(INTENT))


def version_after(current: str | None, latest_intent: str | None) -> str:
    """The one version id that an intent may have which answers this state: a UUID, as the service wants it."""
    digest = hashlib.sha256(f"{current}/{latest_intent}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def observe(store: TokenStore, request: RefreshRequest) -> Observation:
    """Reads the state: DescribeSecret, the current record, and the intent under the lock unless it is finished.

    Raises StoreUnavailable, and ConfigurationError for a current record that is not ours, unless a person asks
    for a mint all the same.
    """
    labels = store.labels()
    token = _current_token(store, labels.get(CURRENT), request)
    holder = labels.get(LOCK)
    unfinished = _attempt(store, holder, token)
    return Observation(labels, token, unfinished, holder if unfinished is None else None)


def with_last_attempt(store: TokenStore, seen: Observation) -> Observation:
    """The same with what came of the latest attempt: only a run that is due needs to know. Raises StoreUnavailable."""
    latest, last = seen.labels.get(INTENT), seen.unfinished
    if latest != seen.labels.get(LOCK):
        last = _attempt(store, latest, seen.token) or last
    refused = any(
        last is not None and version == last.version
        for label, version in seen.labels.items()
        if label.startswith(REFUSED_PREFIX)
    )
    return seen._replace(last=last, refused=refused)


def _current_token(store: TokenStore, version: str | None, request: RefreshRequest) -> Token | None:
    if version is None:
        return None
    try:
        record = store.read_version(version)
    except ConfigurationError:
        # Somebody overwrote the secret by hand: mint only if a person asks for it.
        if not request.by_a_person:
            raise
        return None
    # The first version of a secret is AWSCURRENT whatever labels were asked for, an intent included.
    return record if isinstance(record, Token) else None


def _attempt(store: TokenStore, version: str | None, token: Token | None) -> Intent | None:
    """The intent of that version, unless it is finished or no intent at all."""
    if version is None or (token is not None and (version == token.version or made_by(token.run, version))):
        return None
    try:
        record = store.read_version(version)
    except ConfigurationError:
        # No live run can have written it, and something may have been minted under it.
        return Intent(version, "unreadable", None, "")
    if not isinstance(record, Intent) or record.finished_by(token):
        return None
    return record
