"""The caller's own AWS identity, and what can be wrong on the way to the vending function."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import botocore.exceptions
import botocore.session

from ._errors import ConfigurationError, TokenClientError, VendingUnavailable
from ._process import starting_over

CONNECT_SECONDS = 3.0

# The connection failed, or the service that hands out this caller's credentials did not answer.
_TEMPORARY = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.MetadataRetrievalError,
)


# What is said of the first of these that it came of.
_WORDS: dict[type[BaseException], str] = {
    botocore.exceptions.ProxyConnectionError: "the proxy does not let it through",
    socket.gaierror: "its name is not found (DNS)",
    ConnectionRefusedError: "connection refused",
    ssl.SSLError: "TLS failed",
    ConnectionResetError: "connection reset",
    botocore.exceptions.ConnectTimeoutError: "timeout while connecting",
    botocore.exceptions.ReadTimeoutError: "timeout while waiting for the answer",
}


class AwsSession(Protocol):
    """What a ``boto3.Session`` and a ``botocore.session.Session`` have in common."""

    def get_credentials(self) -> Any:  # noqa: ANN401 - botocore is untyped
        """The credentials to sign with, or None."""


class _Shared:
    """One botocore session for all clients of the process: each keeps megabytes of AWS's descriptions."""

    def __init__(self) -> None:
        self.start_over()
        starting_over.add(self)

    def start_over(self) -> None:
        """For a forked child."""
        self.lock = threading.RLock()  # a session makes one client at a time
        self._session: Any = None

    def session(self) -> Any:  # noqa: ANN401 - botocore is untyped
        """The session of the environment's identity."""
        with self.lock:
            self._session = self._session or botocore.session.get_session()
            return self._session


shared = _Shared()


def configured(session: AwsSession, name: str) -> str | None:
    """A setting of the session: of its arguments, of AWS's environment variables or of its profile."""
    wrapped = getattr(session, "_session", session)  # a boto3 session is one around a botocore session
    value = wrapped.get_config_variable(name) if hasattr(wrapped, "get_config_variable") else None
    return value if isinstance(value, str) else None


def configured_region(session: AwsSession) -> str | None:
    """The session's region; otherwise ``AWS_REGION``, which AWS sets everywhere and botocore does not read."""
    return configured(session, "region") or os.environ.get("AWS_REGION")


def translated(error: Exception, place: str) -> TokenClientError:
    """What botocore or urllib3 say without an answer from AWS, in this package's terms. To be raised ``from None``:
    it says all that their hundred lines do.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConfigurationError(
                f"{place} shows a certificate that is not trusted here ({cause.verify_message}): AWS_CA_BUNDLE"
                " (or REQUESTS_CA_BUNDLE) names the file of the authorities to trust"
            )
    if not isinstance(error, botocore.exceptions.BotoCoreError) or isinstance(error, _TEMPORARY):
        kinds = (kind for kind in _WORDS if any(isinstance(cause, kind) for cause in causes))
        words = next(map(_WORDS.__getitem__, kinds), type(error).__name__)
        return VendingUnavailable(f"{place} could not be reached: {words}")
    # No credentials, no region, a malformed name.
    return ConfigurationError(f"{place} cannot be called: {error}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came of, in whichever way that is kept."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            told = getattr(one, "kwargs", {})
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
            waiting += [told.get("error")] if isinstance(told, dict) else []
