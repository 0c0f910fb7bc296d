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
    """This caller may not have the token: ask for the stack's caller policy, or for a place in AllowedCallers."""


class InvalidRequest(TokenClientError):
    """The vending function did not understand the request: its release and this client's do not match."""


class UnexpectedAnswer(TokenClientError):
    """The answer is not of the contract: the releases do not match, or it is not our function's."""


class TokenUnavailable(TokenClientError):
    """There is no usable token, one is being made, and it was not there, or cannot be, in the time allowed."""

    retryable = True


class VendingUnavailable(TokenClientError):
    """The vending function could not be reached, was throttled, failed, or did not answer in time."""

    retryable = True


class RequestNotRepeatable(TokenClientError):
    """The API refused the token with 401 (which has been reported), and the request's body was a stream that is gone:
    build it again and send it again.
    """
