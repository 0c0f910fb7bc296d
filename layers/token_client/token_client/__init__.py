"""Personr API tokens from a token vending stack.

::

    from token_client import TokenClient

    personr = TokenClient(function_name="...")  # or url="...", or PERSONR_TOKEN_FUNCTION / PERSONR_TOKEN_URL
    answer = personr.http.request("GET", "https://enterprise.personr.co/api/1.1/wf/...")

Importing this imports neither botocore nor urllib3.
"""

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

__version__ = "1.0.0"

__all__ = [
    "CallerNotAllowed",
    "ConfigurationError",
    "InvalidRequest",
    "RequestNotRepeatable",
    "Token",
    "TokenClient",
    "TokenClientError",
    "TokenUnavailable",
    "UnexpectedAnswer",
    "VendingUnavailable",
]
