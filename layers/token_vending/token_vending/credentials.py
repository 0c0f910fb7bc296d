"""The service account's credentials as one value that does not show itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class CredentialField(NamedTuple):
    """A field of the credentials secret that the issuer's login takes.

    `also` is another name that is accepted for it. `no_colon`: it is sent as the user name of HTTP Basic.
    """

    name: str
    also: str = ""
    optional: bool = False
    no_colon: bool = False


EMAIL_AND_PASSWORD = (CredentialField("email", also="username", no_colon=True), CredentialField("password"))


def account_of(credentials_version: str) -> str:
    """The account that a credentials version belongs to: empty for the primary one."""
    return credentials_version.rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one service account logs in with, by the names of the secret's fields.

    `version` names them: the VersionId of the secret they lie in, with the account's name before it for
    an account other than the primary one (`standby:<VersionId>`).
    """

    version: str
    fields: Mapping[str, str] = field(repr=False)

    @property
    def account(self) -> str:
        """The account's name: empty for the primary one."""
        return account_of(self.version)

    def appear_in(self, text: str, *, sent_as: str = "") -> bool:
        """Whether a text that somebody sent us repeats any of it, or the form in which it was sent."""
        folded = text.casefold()
        return any(part.casefold() in folded for part in (*self.fields.values(), sent_as) if part)
