"""One HTTP request to the issuer, and how sure it is what became of it.

Bounded in time and in bytes, on a connection of its own: no pool, no retry, no redirect.
"""

import contextlib
import email.utils
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, HTTPHeaderDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from token_vending import __version__

MAX_BODY = 32 * 1024
"""Bytes. A login's answer has some hundreds; a secret can hold 64 KiB."""
CONNECT_TIMEOUT = 5.0

type _Connection = HTTPConnection | HTTPSConnection


class Lost(Exception):
    """No whole answer. `sent` says whether the issuer may have got the request."""

    def __init__(self, kind: str, *, sent: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.sent = sent


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` is cut at a byte more than MAX_BODY."""

    status: int
    headers: HTTPHeaderDict
    body: bytes

    @property
    def too_long(self) -> bool:
        """Whether there was more than is read."""
        return len(self.body) > MAX_BODY

    def retry_after(self) -> int | None:
        """Seconds, from either form of RFC 9110 §10.2.3; None if there is none that can be read."""
        value = (self.headers.get("Retry-After") or "").strip()
        if value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        try:
            moment = email.utils.parsedate_to_datetime(value)
            left = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
        return max(0, round(left))


def exchange(method: str, url: str, *, headers: dict[str, str], body: bytes | None, timeout: float) -> Answer:
    """One request, over within `timeout` seconds. Raises Lost.

    Connecting is a step apart, because a failure there is certain to precede the request.
    """
    connection = _connection(url)
    connection.timeout = min(CONNECT_TIMEOUT, timeout)
    began = datetime.now(UTC)
    try:
        try:
            connection.connect()
        except (OSError, HTTPError, ValueError) as error:
            raise Lost(type(error).__name__, sent=False) from error
        left = timeout - (datetime.now(UTC) - began).total_seconds()
        with _hang_up_after(connection, max(left, 0.1)) as hung_up:
            try:
                connection.timeout = max(left, 0.1)
                connection.request(
                    method,
                    urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl() or "/",
                    body=body,
                    headers={
                        "accept": "application/json",
                        "user-agent": f"token-vending/{__version__}",
                        **headers,
                    },
                    preload_content=False,
                )
                response = connection.getresponse()
                received = _read_capped(response)
            except (OSError, http.client.HTTPException, HTTPError, ValueError) as error:
                kind = "timeout" if hung_up.is_set() else type(error).__name__
                raise Lost(kind, sent=True) from error
            if hung_up.is_set():
                raise Lost("timeout", sent=True)
        return Answer(response.status, response.headers, received)
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
