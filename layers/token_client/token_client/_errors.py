"""What can go wrong for a caller.

::

    TokenClientError
    ├── ConfigurationError      this client, or the vending stack, is set up wrongly: a person must act
    ├── CallerNotAllowed        IAM or the stack's AllowedCallers refused this caller
    ├── InvalidRequest          the vending function did not understand: client and stack do not match
    ├── UnexpectedAnswer        the answer is not of the contract: client and stack do not match
    ├── TokenUnavailable        no usable token now; in ``retry_after`` seconds perhaps       (retryable)
    ├── VendingUnavailable      the vending function could not be reached, or failed          (retryable)
    └── RequestNotRepeatable    the API refused the token, and the body cannot be sent twice

No message, argument or attribute ever holds a token.
"""

from typing import ClassVar


class TokenClientError(Exception):
    """The base of everything this package raises on its own account.

    Attributes:
        retryable: whether the same call may succeed later without anybody changing anything.
        retry_after: seconds to wait before that is worth trying, where the vending side said so.
        remote_error: the error name the vending function gave, where it gave one.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, retry_after: float | None = None, remote_error: str | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.remote_error = remote_error


class ConfigurationError(TokenClientError):
    """This client or the vending stack is set up wrongly; retrying changes nothing."""


class CallerNotAllowed(TokenClientError):
    """This caller may not have the token: ask for the stack's caller policy, or for a place in
    AllowedCallers.
    """


class InvalidRequest(TokenClientError):
    """The vending function did not understand the request: its release and this client's do not match."""


class UnexpectedAnswer(TokenClientError):
    """The answer is not of the contract: the function's release and this client's do not match, or it is not
    ours.
    """


class TokenUnavailable(TokenClientError):
    """There is no usable token at the moment, and one is being made.

    Raised only after waiting as long as the caller allowed, or at once when the wait would be longer than
    that.
    """

    retryable = True


class VendingUnavailable(TokenClientError):
    """The vending function could not be reached, was throttled, or failed."""

    retryable = True


class RequestNotRepeatable(TokenClientError):
    """The API refused the token with 401, and the request's body was a stream that is gone.

    The refused token has been reported, so the next request takes a new one: build the body again and send it
    again.
    """
