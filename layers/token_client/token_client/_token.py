"""One access token as a value, and text that does not show itself."""

import hashlib
from datetime import datetime
from typing import NoReturn, Self


class _Hidden:
    """Itself wherever it is used, and hidden where locals are captured: error trackers, debuggers and pytest show a
    variable by its ``repr``.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<not shown>"


class HiddenText(_Hidden, str):
    """Text that does not show itself."""

    __slots__ = ()


class HiddenBytes(_Hidden, bytes):
    """Bytes that do not show themselves."""


class HiddenFields(_Hidden, dict[str, object]):
    """A parsed JSON object that does not show itself."""


class Token:
    """An access token, the name of its version, and when it ends. It does not change.

    Deliberately no dataclass: structured loggers turn those into dictionaries, plaintext included. The plaintext
    leaves through :meth:`access_token` and :meth:`bearer` and nowhere else: not through ``repr``, ``str``, ``vars``
    or ``pickle``.
    """

    __slots__ = ("_access_token", "_expires_at", "_version")

    def __init__(self, access_token: str, *, version: str, expires_at: datetime) -> None:
        if expires_at.tzinfo is None:
            raise ValueError("expires_at has no time zone")
        self._access_token = HiddenText(access_token)
        self._version = version
        self._expires_at = expires_at

    def access_token(self) -> str:
        """The plaintext, for the ``Authorization`` header and for nothing else. Its ``repr`` does not show it."""
        return self._access_token

    def bearer(self) -> str:
        """``Bearer …``: the value of the ``Authorization`` header."""
        return HiddenText(f"Bearer {self._access_token}")

    @property
    def version(self) -> str:
        """The name of this token among those the stack has minted. Not secret: fit for logs and for ``reject``."""
        return self._version

    @property
    def expires_at(self) -> datetime:
        """The instant the API stops accepting it at the latest, as the vending function states it (UTC)."""
        return self._expires_at

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of the token's SHA-256: enough to tell two tokens apart in a log."""
        return hashlib.sha256(self._access_token.encode()).hexdigest()[:12]

    def __repr__(self) -> str:
        return (
            f"Token(version={self._version!r}, expires_at={self._expires_at.isoformat()!r},"
            f" fingerprint={self.fingerprint!r})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Token):
            return NotImplemented
        mine = (self._access_token, self._version, self._expires_at)
        return mine == (other._access_token, other._version, other._expires_at)

    def __hash__(self) -> int:
        return hash((self._version, self._expires_at))

    def __copy__(self, _memo: object = None) -> Self:
        return self

    __deepcopy__ = __copy__

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Token is not pickled: that would write the plaintext somewhere; fetch it where it is needed"
        )
