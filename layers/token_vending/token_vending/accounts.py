"""Whose credentials to mint with: the one account, or of two the one that is not in use. And the latch.

Credentials that the vendor has refused are latched: the label REFUSED-<credentials version> is on the intent of the
run that was refused. Ticks and callers do not send them again; an operator's `force` does, once for each event. New
credentials have another version, to which the latch does not apply.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from token_vending.credentials import Credentials, account_of
from token_vending.errors import ConfigurationError, StoreUnavailable
from token_vending.ports import CredentialsSource, LabelHeld, TokenStore
from token_vending.requests import RefreshRequest
from token_vending.token import Intent, Token

REFUSED_PREFIX = "REFUSED-"

type Insist = Callable[[Callable[[], None]], None]
"""Tries a write again while there is time for it."""


class Accounts(NamedTuple):
    """One service account, or two that take turns. What cannot be used goes into `notes`."""

    primary: CredentialsSource
    standby: CredentialsSource | None = None

    def in_use(self, token: Token | None, notes: list[str]) -> Credentials | None:
        """The present credentials of the account that minted the token; None if only the other's can be read."""
        if self.standby is None:
            return self.primary.read()
        try:
            return self._pair(token, self.standby)[0].read()
        except ConfigurationError as error:
            notes.append(f"One of the two accounts cannot be used: {error.detail}")
            return None

    def to_mint_with(
        self, token: Token | None, own: Credentials | None, notes: list[str]
    ) -> Sequence[Credentials]:
        """In order of preference: the one not in use first. Without a token the primary one."""
        if self.standby is None:
            return [own] if own else []
        try:
            other = self._pair(token, self.standby)[1].read()
        except ConfigurationError as error:
            if own is None:
                raise
            notes.append(f"One of the two accounts cannot be used: {error.detail}")
            return [own]
        if own is None:
            return [other]
        return [other, own] if token is not None else [own, other]

    def _pair(
        self, token: Token | None, standby: CredentialsSource
    ) -> tuple[CredentialsSource, CredentialsSource]:
        if token is not None and standby.owns(token.credentials_version):
            return standby, self.primary
        return self.primary, standby


def choose_account(
    accounts: Sequence[Credentials],
    labels: Mapping[str, str],
    request: RefreshRequest,
    read_version: Callable[[str], Token | Intent | None],
) -> Credentials | None:
    """The first account, in order of preference, whose credentials may be sent; None if all are latched.

    Only a person sends latched credentials again, and once: not in the retries of the same event.
    """
    for account in accounts:
        if REFUSED_PREFIX + account.version not in labels:
            return account
    for account in accounts if request.by_a_person else ():
        refused = read_version(labels[REFUSED_PREFIX + account.version])
        if not (isinstance(refused, Intent) and request.made(refused.run)):
            return account
    return None


def latch(  # noqa: PLR0913
    store: TokenStore,
    intent: Intent,
    account: Credentials,
    labels: Mapping[str, str],
    *,
    insist: Insist,
    notes: list[str],
) -> None:
    """Marks the credentials as refused, and removes the marks of this account's older ones: a secret holds 20
    labels in all.
    """
    label = REFUSED_PREFIX + account.version
    try:
        insist(lambda: store.move_label(label, to=intent.version, expected_on=labels.get(label)))
    except LabelHeld:
        pass  # Another run was refused with the same credentials: latched all the same.
    except StoreUnavailable as error:
        notes.append(f"The refused credentials could not be latched: {error.detail}")
    for old, version in labels.items():
        refused = old.removeprefix(REFUSED_PREFIX)
        if old not in (label, refused) and account_of(refused) == account.account:
            with contextlib.suppress(LabelHeld, StoreUnavailable):
                store.remove_label(old, expected_on=version)


def unlatch(
    store: TokenStore,
    credentials_version: str,
    labels: Mapping[str, str],
    *,
    insist: Insist,
    notes: list[str],
) -> None:
    """Credentials that a person sent again and that worked must not stay refused for every later tick."""
    label = REFUSED_PREFIX + credentials_version
    if label in labels:
        try:
            insist(lambda: store.remove_label(label, expected_on=labels[label]))
        except (LabelHeld, StoreUnavailable):
            notes.append("The credentials work again, but stay latched: force once more.")
