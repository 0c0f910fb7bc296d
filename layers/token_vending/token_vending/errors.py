"""What can go wrong, as one tree.

TokenVendingError
├── InvalidRequest        the event or HTTP request is not one of ours; sending it again will not help
├── ConfigurationError    a setting or a secret's content is wrong; a person has to correct it
├── CredentialsRefused    the vendor knows the credentials to be wrong; latched until they change
├── VendorUnavailable     the vendor gave no usable answer; passes by itself
├── VendorProtocolError   the vendor answered something that its documentation does not describe
├── StoreUnavailable      AWS Secrets Manager gave no usable answer
├── TokenUnavailable      no token can be handed out at this moment; ask again after `retry_after`
└── CallerNotAllowed      the caller's ARN matches no pattern of AllowedCallers

The class names are part of the contract: a direct caller sees them as Lambda's `errorType`, an HTTP
caller in the problem document. Messages never hold a secret, nor any text that the vendor sent
except its sanitised `reason`.
"""

import json


class TokenVendingError(Exception):
    """Base of every error of this product.

    `detail` is one or two sentences: what happened, and what to do. `retryable` says whether the same
    request may succeed later without anybody's help. `retry_after` is in whole seconds, where known.
    """

    retryable = False

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, str | int]:
        """`{"error": class name, "message": text, "retry_after": seconds}`; the last only where known."""
        fields: dict[str, str | int] = {"error": type(self).__name__, "message": self.detail}
        if self.retry_after is not None:
            fields["retry_after"] = self.retry_after
        return fields

    def on_the_wire(self) -> "TokenVendingError":
        """The same error with `as_dict()` as JSON for its text: what Lambda shows as `errorMessage`."""
        return type(self)(json.dumps(self.as_dict()), retry_after=self.retry_after)


class InvalidRequest(TokenVendingError):
    """The request names a field that does not exist, or gives one a value that it cannot have."""


class ConfigurationError(TokenVendingError):
    """A setting, a secret's content or the vendor's address is wrong. Nothing was minted."""


class CallerNotAllowed(TokenVendingError):
    """The caller is known and not listed, or cannot be identified."""


class StoreUnavailable(TokenVendingError):
    """Secrets Manager refused, failed or did not answer in time."""

    retryable = True


class TokenUnavailable(TokenVendingError):
    """There is no token to hand out right now. `retry_after` is always set."""

    retryable = True

    def __init__(self, detail: str, *, retry_after: int | None = 5) -> None:
        super().__init__(detail, retry_after=retry_after)


class MintError(TokenVendingError):
    """A mint that gave no token.

    `ambiguous` is the one thing the refresh protocol must know: may the vendor have minted all the same,
    so that the token in the store is dead already?
    """

    def __init__(self, detail: str, *, ambiguous: bool = False, retry_after: int | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.ambiguous = ambiguous


class CredentialsRefused(MintError):
    """The vendor does not know these credentials: permanent until they change."""


class VendorUnavailable(MintError):
    """No answer, or one that asks to come back later (408, 425, 429, 5xx)."""

    retryable = True


class VendorProtocolError(MintError):
    """A success without a token in it. The vendor may well have minted."""

    retryable = True
