"""The caller's own AWS identity, and what can be wrong with it before anything reaches the vending
function.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

import botocore.exceptions

from ._errors import ConfigurationError, TokenClientError, VendingUnavailable

# The connection failed, or the service that hands out this caller's credentials did not answer.
_TEMPORARY = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.MetadataRetrievalError,
)


class AwsSession(Protocol):
    """What a ``boto3.Session`` and a ``botocore.session.Session`` have in common."""

    def get_credentials(self) -> Any:  # noqa: ANN401 - botocore is untyped
        """The credentials to sign with, or None."""


def configured_region(session: AwsSession) -> str | None:
    """The session's region; otherwise ``AWS_REGION``, which AWS sets everywhere and botocore does not read."""
    region = getattr(session, "region_name", None)
    if region is None and hasattr(session, "get_config_variable"):
        region = session.get_config_variable("region")
    return region if isinstance(region, str) else os.environ.get("AWS_REGION")


def translated(error: botocore.exceptions.BotoCoreError, place: str) -> TokenClientError:
    """What botocore says without an answer from AWS, in this package's terms."""
    if isinstance(error, _TEMPORARY):
        return VendingUnavailable(f"{place} could not be reached: {type(error).__name__}")
    # No credentials, no region, a malformed name.
    return ConfigurationError(f"{place} cannot be called: {error}")
