"""One request to the API: the token it goes with, and what to do about a 401.

The rule: send once; when the token is refused, report its version, take the next token, and send once more. Never a
third time: whatever the second answer is, it is the answer. A second token that is refused as well is reported too,
so that the stack heals before the next request comes. ``_pool`` and the adapters send, each in its own way::

    attempt = Attempt(tokens, url, wait_seconds=20, repeatable=True)
    token = tokens.time.run(attempt.first())
    while token is not None:
        status = ...  # send the request with token.bearer()
        token = tokens.time.run(attempt.after(status, carried=True))
"""

import contextlib
import io
import ipaddress
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from ._errors import ConfigurationError, RequestNotRepeatable, TokenClientError
from ._process import Steps, Time
from ._token import Token

logger = logging.getLogger("token_client")

T = TypeVar("T")

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Tokens(Protocol):
    """Where a request takes its tokens from. The steps raise a ``TokenClientError`` if there is none."""

    time: Time

    def get(self, wait_seconds: float, *, instead_of: str | None = None) -> Steps[Token]:
        """A token, other than a version that is reported by the same call."""

    def reject(self, version: str, wait_seconds: float) -> Steps[None]:
        """Report a version that the API refused."""


class Attempt:
    """The tokens of one request. It may wait for ``wait_seconds``, for the first and the next one together; the time
    that the API takes is not counted. ``repeatable`` says whether it can be sent twice, body and all, and may be set
    later. Raises ConfigurationError: a token may not be sent to that URL.
    """

    def __init__(self, tokens: Tokens, url: str, *, wait_seconds: float, repeatable: bool) -> None:
        check_destination(url)
        self._tokens = tokens
        self._left_seconds = wait_seconds
        self.repeatable = repeatable
        self._refused: list[str] = []
        self._version = ""

    def first(self) -> Steps[Token]:
        """The token to send first."""
        token = yield from self._waiting(self._tokens.get)
        self._version = token.version
        return token

    def after(self, status: int, *, carried: bool) -> Steps[Token | None]:
        """The token to send the request once more with, after this answer; None: the answer stands.

        ``carried`` says whether the request that was answered last carried the token. A redirect to another host goes
        without it, and that host's 401 says nothing about the token.

        Raises:
            RequestNotRepeatable: the token was refused (and has been reported), and the request cannot be sent again.
            TokenClientError: there was no next token in time, or the report failed for good and no answer stands.
        """
        if status != HTTPStatus.UNAUTHORIZED or not carried:
            return None
        logger.info("the API refused token version %s (HTTP 401)", self._version)
        if self._version in self._refused:  # it was vouched for: not reported twice
            return None
        self._refused.append(self._version)
        is_first = len(self._refused) == 1
        if is_first and self.repeatable:
            token = yield from self._waiting(partial(self._tokens.get, instead_of=self._version))
            logger.info("request sent once more with token version %s", token.version)
            self._version = token.version
            return token
        try:
            yield from self._waiting(partial(self._tokens.reject, self._version))
        except TokenClientError as error:
            if is_first:
                raise
            logger.warning("the refused version %s could not be reported: %s", self._version, error)
        if is_first:
            raise RequestNotRepeatable(
                f"the API refused token version {self._version}, and the request's body is a stream that cannot be sent"
                " again; the version has been reported, so a new request with a new body is given the next token"
            )
        return None

    def _waiting(self, ask: Callable[[float], Steps[T]]) -> Steps[T]:
        """Ask with the seconds that are left, and take off what was waited."""
        began = self._tokens.time.monotonic()
        try:
            return (yield from ask(max(0.0, self._left_seconds)))
        finally:
            self._left_seconds -= self._tokens.time.monotonic() - began


class Replay:
    """A request body, and the place it began at. Text, bytes and no body at all are there to be sent again, a file is
    wound back to where it stood, and anything else (a generator, a pipe) is gone once it has been sent.
    """

    def __init__(self, body: Any) -> None:  # noqa: ANN401 - whatever an HTTP library takes
        self._body = body
        self._start: int | None = None
        self.possible = body is None or isinstance(body, str | bytes | bytearray | memoryview)
        if not self.possible and hasattr(body, "seek") and hasattr(body, "tell"):
            with contextlib.suppress(OSError, io.UnsupportedOperation):
                self._start = body.tell()
                self.possible = bool(body.seekable()) if hasattr(body, "seekable") else True

    def rewind(self) -> None:
        """Make the body what it was. Raises OSError if the file cannot be wound back after all."""
        if self._start is not None:
            self._body.seek(self._start)


def origin_of(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port (RFC 6454) of an absolute URL, in lower case, the scheme's own port filled in. Read as
    urllib3 reads it: another reading could be led to another host.
    """
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    if not parts.scheme or not parts.host:
        return None
    scheme = parts.scheme.lower()
    return scheme, parts.host.lower(), parts.port or _DEFAULT_PORTS.get(scheme)


def check_destination(url: str) -> None:
    """Raises ConfigurationError if ``url`` is neither https nor http of loopback (by name or address; nothing is looked
    up): no token may travel to or from there.
    """
    scheme, host, _ = origin_of(url) or ("", "", None)
    is_loopback = host == "localhost"
    with contextlib.suppress(ValueError):
        is_loopback = is_loopback or ipaddress.ip_address(host.strip("[]")).is_loopback
    if scheme != "https" and not (scheme == "http" and is_loopback):
        raise ConfigurationError("a token is sent over https only (or to loopback)")
