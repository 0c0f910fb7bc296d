"""Personr's basic-authentication endpoint: one POST that mints a token and kills the old one.

Everything known about it is the vendor's page "Using basic authentication"; what that page leaves open
follows Bubble.io's conventions (docs/architecture.md, "The vendor"). What the vendor sends never
gets into an error or a log, except its `reason`, reduced to a plain word.
"""

import contextlib
import email.utils
import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, HTTPHeaderDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.filepost import encode_multipart_formdata

from token_vending import __version__
from token_vending.credentials import Credentials
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    MintError,
    VendorProtocolError,
    VendorUnavailable,
)
from token_vending.ports import Minted
from token_vending.token import Token

DOCUMENTED_LIFETIME = timedelta(seconds=31_536_000)
LONGEST_LIFETIME = timedelta(days=3660)
"""Beyond ten years an `expires` is a mistake (milliseconds?), not a promise."""
MAX_BODY = 32 * 1024
"""Bytes. The documented answer has 200; a secret can hold 64 KiB."""
CONNECT_TIMEOUT = 5.0
_LONGEST_USER_ID = 256
_MOST_DIGITS = 20

_REFUSAL = "INVALID_LOGIN_CREDENTIALS"
_TRANSIENT_4XX = frozenset({408, 425, 429})
# A service that says it did not take the request on. Any other 5xx may come after the mint.
_NOT_TAKEN_ON = _TRANSIENT_4XX | {503}
_REASON_IN_BROKEN_JSON = re.compile(r'"reason"\s*:\s*"([A-Z][A-Z0-9_]{1,63})"')
_PLAIN_WORD = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
# Labels of letters, digits and hyphens, none longer than DNS allows, and perhaps a port.
_HOST = re.compile(r"(?=.{1,255}$)([A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}(:[0-9]{1,5})?")

type _Connection = HTTPConnection | HTTPSConnection


class _Lost(Exception):
    """No whole answer. `sent` says whether the vendor may have got the request."""

    def __init__(self, kind: str, *, sent: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.sent = sent


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: HTTPHeaderDict
    body: bytes


class PersonrVendor:
    """`ports.Vendor` over HTTP. `base_url` is https, or http on loopback; `settings` has seen to that.

    `probe_url` is any endpoint that answers a good token with 2xx and a bad one with 401, and does nothing.
    """

    def __init__(self, base_url: str, *, probe_url: str | None = None) -> None:
        self._mint_url = base_url.rstrip("/") + "/api-basic-auth"
        self._probe_url = probe_url

    def mint(self, credentials: Credentials, *, timeout: float) -> Minted:
        # The page's table demands multipart/form-data and names no field: a well-formed body of none.
        body, content_type = encode_multipart_formdata([])
        headers = {"Authorization": credentials.basic_authorization(), "Content-Type": content_type}
        try:
            answer = _exchange("POST", self._mint_url, headers=headers, body=body, timeout=timeout)
        except _Lost as lost:
            effect = "it may have minted" if lost.sent else "nothing was sent"
            raise VendorUnavailable(
                f"The vendor gave no whole answer ({lost.kind}); {effect}.", ambiguous=lost.sent
            ) from lost
        return _read_mint(answer, credentials)

    def answers_to(self, token: Token, *, timeout: float) -> bool | None:
        secret = token.access_token()
        if self._probe_url is None or not (secret.isascii() and secret.isprintable()):
            return None
        try:
            answer = _exchange(
                "GET",
                self._probe_url,
                headers={"Authorization": f"Bearer {secret}"},
                body=None,
                timeout=timeout,
            )
        except _Lost:
            return None
        if 200 <= answer.status < 300:
            return True
        return False if answer.status == http.HTTPStatus.UNAUTHORIZED else None


def _exchange(
    method: str, url: str, *, headers: dict[str, str], body: bytes | None, timeout: float
) -> _Answer:
    """One request on a connection of its own: no pool, no retry, no redirect, over within `timeout` seconds.

    Connecting is a step apart, because a failure there is certain to precede the request.
    """
    connection = _connection(url)
    connection.timeout = min(CONNECT_TIMEOUT, timeout)
    began = datetime.now(UTC)
    try:
        try:
            connection.connect()
        except (OSError, HTTPError, ValueError) as error:
            raise _Lost(type(error).__name__, sent=False) from error
        left = timeout - (datetime.now(UTC) - began).total_seconds()
        with _hang_up_after(connection, max(left, 0.1)) as hung_up:
            try:
                connection.timeout = max(left, 0.1)
                connection.request(
                    method,
                    urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl() or "/",
                    body=body,
                    headers={
                        **headers,
                        "Accept": "application/json",
                        "User-Agent": f"personr-token-vending/{__version__}",
                    },
                    preload_content=False,
                )
                response = connection.getresponse()
                received = _read_capped(response)
            except (OSError, http.client.HTTPException, HTTPError, ValueError) as error:
                kind = "timeout" if hung_up.is_set() else type(error).__name__
                raise _Lost(kind, sent=True) from error
            if hung_up.is_set():
                raise _Lost("timeout", sent=True)
        return _Answer(response.status, response.headers, received)
    finally:
        connection.close()


def _connection(url: str) -> _Connection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return HTTPSConnection(host, parts.port or 443, ssl_context=ssl.create_default_context())
    return HTTPConnection(host, parts.port or 80)


@contextlib.contextmanager
def _hang_up_after(connection: _Connection, seconds: float) -> Iterator[threading.Event]:
    """A socket's timeout starts anew with every byte; this one does not, so a drip feed ends too."""
    hung_up = threading.Event()
    sock = connection.sock

    def hang_up() -> None:
        hung_up.set()
        with contextlib.suppress(OSError):
            # The plain socket's method: SSLSocket's own takes the TLS layer away from under the reader.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield hung_up
    finally:
        timer.cancel()


def _read_capped(response: BaseHTTPResponse) -> bytes:
    received = bytearray()
    while len(received) <= MAX_BODY:
        chunk = response.read(MAX_BODY + 1 - len(received))
        if not chunk:
            break
        received += chunk
    return bytes(received)


def _read_mint(answer: _Answer, credentials: Credentials) -> Minted:
    if 200 <= answer.status < 300:
        return _read_success(answer)
    if 300 <= answer.status < 400:
        raise ConfigurationError(
            f"The vendor redirects to {_redirect_host(answer, credentials)} (status {answer.status}). "
            "Credentials go to the configured host only: set PersonrBaseUrl to the address that mints."
        )
    reason = _reason(answer.body)
    if reason is not None and credentials.appear_in(reason):
        reason = None
    if reason == _REFUSAL and answer.status < 500:
        raise _refused()
    if answer.status >= 500 or answer.status in _TRANSIENT_4XX:
        raise VendorUnavailable(
            f"The vendor answered status {answer.status}{_because(reason)}.",
            ambiguous=answer.status not in _NOT_TAKEN_ON,
            retry_after=_retry_after(answer.headers.get("Retry-After")),
        )
    raise ConfigurationError(
        f"The vendor refused the request with status {answer.status}{_because(reason)}. "
        "Check PersonrBaseUrl and that the service account may use basic authentication."
    )


def _read_success(answer: _Answer) -> Minted:
    if len(answer.body) > MAX_BODY:
        raise _protocol_error(f"answered more than {MAX_BODY} bytes")
    try:
        fields = _json(answer.body)
    except (ValueError, RecursionError):
        # `from None`: the parser's error carries the body.
        raise _protocol_error("answered a success that is not JSON") from None
    response = fields.get("response") if isinstance(fields, dict) else None
    token = response.get("token") if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(token, str) or not token.strip():
        if isinstance(fields, dict) and fields.get("reason") == _REFUSAL:
            raise _refused()
        raise _protocol_error("answered a success without a token in it")
    if not (token.isascii() and token.isprintable()):
        raise _protocol_error("sent a token that no Authorization header can carry")
    lifetime = _lifetime(response.get("expires"))
    user_id = response.get("user_id")
    return Minted(
        access_token=token,
        lifetime=lifetime or DOCUMENTED_LIFETIME,
        user_id=user_id if isinstance(user_id, str) and len(user_id) <= _LONGEST_USER_ID else None,
        warning=None
        if lifetime
        else "The vendor sent no usable 'expires'; the documented lifetime of one year is assumed.",
    )


def _json(body: bytes) -> Any:  # noqa: ANN401 - whatever the vendor's JSON holds
    """Like json.loads, but a number of thousands of digits spoils only itself, not the token beside it."""
    return json.loads(body, parse_int=lambda digits: int(digits) if len(digits) <= _MOST_DIGITS else None)


def _lifetime(expires: Any) -> timedelta | None:  # noqa: ANN401 - whatever the vendor's JSON holds
    """Seconds as a positive integer or a numeric string; None for anything else."""
    if (
        isinstance(expires, str)
        and expires.strip().isascii()
        and expires.strip().isdigit()
        and len(expires) < 20
    ):
        expires = int(expires)
    if isinstance(expires, float) and expires.is_integer():
        expires = int(expires)
    if isinstance(expires, bool) or not isinstance(expires, int):
        return None
    if not 0 < expires <= LONGEST_LIFETIME.total_seconds():
        return None
    return timedelta(seconds=expires)


def _reason(body: bytes) -> str | None:
    """The vendor's `reason` as a plain word. Its documented refusal is no valid JSON (a trailing comma)."""
    try:
        fields = _json(body)
        reason = fields.get("reason") if isinstance(fields, dict) else None
    except (ValueError, RecursionError):
        found = _REASON_IN_BROKEN_JSON.search(body.decode("utf-8", "replace"))
        reason = found[1] if found else None
    return reason if isinstance(reason, str) and _PLAIN_WORD.fullmatch(reason) else None


def _because(reason: str | None) -> str:
    return f" (reason: {reason})" if reason else ""


def _retry_after(value: str | None) -> int | None:
    """Seconds, from either form of RFC 9110 §10.2.3; None if there is none that can be read."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
        left = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0, round(left))


def _redirect_host(answer: _Answer, credentials: Credentials) -> str:
    try:
        host = urlsplit(answer.headers.get("Location") or "").netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    return host if _HOST.fullmatch(host) and not credentials.appear_in(host) else "another address"


def _refused() -> MintError:
    return CredentialsRefused(
        "The vendor does not know these credentials (INVALID_LOGIN_CREDENTIALS). Store the right ones in the "
        "credentials secret, and the next run uses them."
    )


def _protocol_error(what: str) -> VendorProtocolError:
    return VendorProtocolError(f"The vendor {what}; it may have minted.", ambiguous=True)
