"""The service account's credentials as one value that does not show itself."""

import base64
from dataclasses import dataclass, field


def account_of(credentials_version: str) -> str:
    """The account that a credentials version belongs to: empty for the primary one."""
    return credentials_version.rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class Credentials:
    """E-mail and password of one service account.

    `version` names them: the VersionId of the secret they lie in, with the account's name before it for
    an account other than the primary one (`standby:<VersionId>`).
    """

    version: str
    email: str = field(repr=False)
    _password: str = field(repr=False)

    @property
    def account(self) -> str:
        """The account's name: empty for the primary one."""
        return account_of(self.version)

    def basic_authorization(self) -> str:
        """The value of the Authorization header: RFC 7617, UTF-8."""
        return "Basic " + base64.b64encode(f"{self.email}:{self._password}".encode()).decode("ascii")

    def appear_in(self, text: str) -> bool:
        """Whether a text that somebody sent us repeats any of it."""
        folded = text.casefold()
        parts = (self.email, self._password, self.basic_authorization().removeprefix("Basic "))
        return any(part.casefold() in folded for part in parts)
