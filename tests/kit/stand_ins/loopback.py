"""A threaded HTTP/1.1 server on a free loopback port: what every stand-in and harness here is built on."""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, override
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One HTTP request as it arrived; ``headers`` has lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: "Connection" = field(repr=False, compare=False)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's fields, blank ones kept."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def json(self) -> Any:
        """Return the body parsed as JSON; raises ValueError if it is not."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Response:
    """One HTTP answer. ``declared_length`` other than the body's makes it a truncated one."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    declared_length: int | None = None

    @classmethod
    def of_json(cls, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        return cls(
            status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}
        )


class Connection:
    """The client's connection while its request is served: lets a handler misbehave below HTTP."""

    def __init__(self, handler: "_Handler") -> None:
        self._handler = handler

    def reset(self) -> None:
        """Close with a TCP RST, so that the client sees 'connection reset by peer'."""
        with contextlib.suppress(OSError):
            self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._handler.close_connection = True
        with contextlib.suppress(OSError):
            self._handler.connection.close()

    def drip(self, response: Response, seconds: float, stopping: threading.Event) -> None:
        """Answer with the body byte by byte, this long in all, unless the client goes or the server stops."""
        headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
        length = len(response.body)
        head = f"HTTP/1.1 {response.status} X\r\n{headers}Content-Length: {length}\r\n\r\n"
        with contextlib.suppress(OSError):
            self._handler.connection.sendall(head.encode())
            for start in range(length):
                if stopping.wait(seconds / length):
                    break
                self._handler.connection.sendall(response.body[start : start + 1])
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "_Server"

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body, Connection(self))
        try:
            response = self.server.handle(request)
        except Exception as exc:  # noqa: BLE001 - a defect of the stand-in must show up in the test, not hang the client
            self.server.failures.append(exc)
            response = Response.of_json({"stand-in failed": repr(exc)}, 599)
        self.close_connection = self.close_connection or response is None
        if response is not None:
            with contextlib.suppress(OSError, ValueError):
                self._send(response)

    def _read_body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunked()
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _read_chunked(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        length = len(response.body) if response.declared_length is None else response.declared_length
        self.close_connection = self.close_connection or length != len(response.body)
        if response.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    @override
    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    @override
    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing: the stand-ins keep their own records, without secrets."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(
        self, port: int, handle: Callable[[Request], Response | None], tls: ssl.SSLContext | None
    ) -> None:
        self.handle = handle
        self.failures: list[Exception] = []
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)
        if tls is not None:
            # The handshake happens with the first read, in the connection's own thread.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @override
    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.open.add(connection)
        return connection, address

    @override
    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        """Shut every open connection, so that no keep-alive thread outlives the server."""
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that are killed in the middle of a request are what these tests are about."""


class LoopbackServer:
    """One server thread. A defect inside ``handle`` is answered with status 599 and raised when the server stops."""

    def __init__(self, port: int = 0, *, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        """A free one, if none is asked for; kept through a stop and a start."""
        self._tls = tls
        self._server: _Server | None = None

    def handle(self, request: Request) -> Response | None:
        """Serve one request; called from many threads at once. None if the connection was dealt with already."""
        raise NotImplementedError

    def on_stop(self) -> None:
        """Release whatever a request may still be waiting for; called before the server stops."""

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``, or https."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def _started(self) -> _Server:
        if self._server is None:
            raise RuntimeError(f"{type(self).__name__} is not started: use it as a context manager")
        return self._server

    def start(self) -> Self:
        self._server = _Server(self.port, self.handle, self._tls)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening, cut open connections, raise the first defect met while serving. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        self.on_stop()
        server.shutdown()
        server.cut_connections()
        server.server_close()
        if server.failures:
            raise server.failures[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
