"""What the use cases need from outside. The adapters implement it, and so do the fakes of the tests.

Every method may raise the errors named here and no others: foreign errors end at the adapter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from token_vending.token import Intent, Token

if TYPE_CHECKING:
    from token_vending.credentials import Credentials


CURRENT = "AWSCURRENT"
LOCK = "MINTING"
"""On the intent of the run that may mint. It stays there until that run is known to have minted nothing more."""
INTENT = "INTENT"
"""On the latest intent."""
ABANDONED = "ABANDONED"
"""On the intent of the last run that failed without being killed, with its question open. Its lease counts as over."""


class LabelHeld(Exception):
    """The staging label lies on another version than the caller thought. Not an error: somebody was first."""


class AlreadyAnnounced(Exception):
    """Another run has written the intent that follows from this state. Not an error: somebody was first."""

    def __init__(self, record: Token | Intent | None) -> None:
        super().__init__()
        self.record = record


class Clock(Protocol):
    """The one way to learn the time."""

    def __call__(self) -> datetime:
        """Now, aware, in UTC."""


class TimeLeft(Protocol):
    """What a run may still use up."""

    def __call__(self) -> float:
        """Seconds until this run is killed."""


@dataclass(frozen=True, slots=True)
class Minted:
    """What the vendor gave: the token in plaintext, so it never shows itself."""

    access_token: str = field(repr=False)
    lifetime: timedelta
    user_id: str | None = None
    warning: str | None = None


class TokenReader(Protocol):
    """The token secret as the hand-out sees it."""

    def read_current(self) -> Token | Intent | None:
        """What AWSCURRENT lies on; None while the secret has no version.

        Raises StoreUnavailable, and ConfigurationError for a content that is not ours.
        """


class TokenStore(Protocol):
    """The token secret. Each method is one AWS call when nothing fails. Raises StoreUnavailable."""

    def labels(self) -> Mapping[str, str]:
        """Which version each staging label lies on."""

    def read_version(self, version: str) -> Token | Intent | None:
        """A version that exists; None if its text is empty.

        Raises ConfigurationError as `TokenReader` does, and StoreUnavailable if it cannot be found yet.
        """

    def versions_kept(self, younger_than: datetime) -> int:
        """How many versions Secrets Manager cannot remove: labelled, or created after that moment."""

    def put_intent(self, intent: Intent) -> None:
        """Creates version `intent.version` under the labels INTENT and MINTING, taking them from where they lay.

        Raises AlreadyAnnounced, and changes nothing, if that version exists with another text.
        """

    def put_token(self, token: Token) -> None:
        """Writes the token as version `token.version` and makes it AWSCURRENT. Repeating it is harmless."""

    def move_label(self, label: str, *, to: str, expected_on: str | None) -> None:
        """Compare-and-swap of a staging label: puts it on version `to` if it lies on `expected_on` now
        (None: on no version), or on `to` already. Raises LabelHeld if it lies elsewhere.
        """

    def remove_label(self, label: str, *, expected_on: str) -> None:
        """Takes the label off that version; harmless if it lies nowhere. Raises LabelHeld if it lies elsewhere."""


class CredentialsSource(Protocol):
    """One account's credentials secret."""

    def owns(self, credentials_version: str) -> bool:
        """Whether a token with this credentials version was minted by this account."""

    def read(self) -> "Credentials":
        """The account's present credentials. Raises ConfigurationError, StoreUnavailable."""


class Issuer(Protocol):
    """The vendor whose tokens are kept here."""

    def mint(self, credentials: "Credentials", *, timeout: float) -> Minted:
        """One POST, over within `timeout` seconds. Raises MintError's leaves and ConfigurationError."""

    def answers_to(self, token: Token, *, timeout: float) -> bool | None:
        """Tries the token on the probe address: True it works, False it does not, None it cannot be told."""


class RefreshStarter(Protocol):
    """The way from a rejection to a refresh."""

    def start(self, event: Mapping[str, object]) -> None:
        """Hands the event to the refresh function and does not wait for it. Raises StoreUnavailable."""
