"""Tokens for an API from a token vending stack.

::

    from token_client import TokenClient

    api = TokenClient(function_name="...")  # or url="...", or the environment: TOKEN_FUNCTION or TOKEN_URL
    answer = api.http.request("GET", "https://enterprise.personr.co/api/1.1/wf/...")

Importing this imports neither botocore nor urllib3.
"""

from typing import TYPE_CHECKING

from ._client import TokenClient
from ._errors import (
    CallerNotAllowed,
    ConfigurationError,
    InvalidRequest,
    RequestNotRepeatable,
    TokenClientError,
    TokenUnavailable,
    UnexpectedAnswer,
    VendingUnavailable,
)
from ._token import Token
from ._wire import TokenSource

if TYPE_CHECKING:
    from ._pool import BearerPool

__version__ = "1.1.0"

__all__ = [
    "BearerPool",
    "CallerNotAllowed",
    "ConfigurationError",
    "InvalidRequest",
    "RequestNotRepeatable",
    "Token",
    "TokenClient",
    "TokenClientError",
    "TokenSource",
    "TokenUnavailable",
    "UnexpectedAnswer",
    "VendingUnavailable",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name == "BearerPool":
        from ._pool import BearerPool  # noqa: PLC0415 - imports urllib3

        return BearerPool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
