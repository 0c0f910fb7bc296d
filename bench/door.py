"""One execution environment under the clock: the real runtime client behind a Runtime API of bare sockets.

The Runtime API of `tests.kit.runtime` is made for misbehaving; this one is made for adding as little as
possible to what is measured. It serves one process, in the caller's thread.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import contextlib
import json
import os
import selectors
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from tests.kit.runtime.artefacts import interpreter

_PREFIX = b"/2018-06-01/runtime/"
_ACCEPTED = (
    b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"OK"}'
)
_LIMIT_SECONDS = 30.0


class FunctionFailed(Exception):
    """The function raised, or its process ended; the text is what it said."""


class Door:
    """A process of the runtime client. `started` is the clock's reading before it was started."""

    def __init__(
        self, task_root: Path, import_paths: Sequence[Path], environment: Mapping[str, str], *, arn: str
    ) -> None:
        self._arn = arn
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._buffers: dict[socket.socket, bytes] = {}
        self._waiting: socket.socket | None = None
        self._snapshot: socket.socket | None = None
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [interpreter(), "-S", "-m", "awslambdaric", "app.handler"]
        variables = {
            **environment,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._listener.getsockname()[1]}",
            "LAMBDA_TASK_ROOT": str(task_root),
            "PYTHONPATH": os.pathsep.join(map(str, (task_root, *import_paths))),
            # As on Lambda, where the folders are read-only: what has no bytecode gets none.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            cwd=task_root,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        self._selector.close()
        for open_socket in (self._listener, *self._buffers):
            open_socket.close()
        self._output.close()

    def wait_ready(self) -> float:
        """Seconds from the start of the process to the end of its init phase."""
        while self._waiting is None:
            self._next_request()
        return time.perf_counter() - self.started

    def wait_for_snapshot(self) -> None:
        """Returns where Lambda takes the snapshot: init is over, the process waits for what comes after a restore.

        Only with AWS_LAMBDA_INITIALIZATION_TYPE=snap-start.
        """
        while self._snapshot is None:
            self._next_request()

    def restore(self) -> None:
        """Lets the process go on, as in each copy of the snapshot."""
        assert self._snapshot is not None
        self._snapshot.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def invoke(self, event: object, *, timeout_seconds: float = 30.0) -> tuple[Any, float]:
        """(payload, seconds from handing the event over to having the answer). Raises FunctionFailed."""
        self.wait_ready()
        connection, self._waiting = self._waiting, None
        assert connection is not None
        body = json.dumps(event).encode()
        deadline_ms = int((time.time() + timeout_seconds) * 1000)
        over_http = isinstance(event, dict) and "requestContext" in event
        arn = self._arn.replace(":live", ":url") if over_http else self._arn
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {uuid.uuid4()}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {arn}\r\n"
            "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        begun = time.perf_counter()
        connection.sendall(head + body)
        while True:
            kind, answered, content = self._next_request()
            if kind in ("response", "error"):
                break
        seconds = time.perf_counter() - begun
        answered.sendall(_ACCEPTED)
        payload = json.loads(content)
        if kind == "error":
            raise FunctionFailed(json.dumps(payload))
        return payload, seconds

    def memory_holds(self, text: str) -> bool:
        """Whether the process has these characters anywhere in its writable memory."""
        wanted = text.encode()
        maps = Path(f"/proc/{self._process.pid}/maps").read_text()
        with Path(f"/proc/{self._process.pid}/mem").open("rb", buffering=0) as memory:
            for line in maps.splitlines():
                span, rights = line.split()[:2]
                if not rights.startswith("rw"):
                    continue
                begin, end = (int(part, 16) for part in span.split("-"))
                memory.seek(begin)
                with contextlib.suppress(OSError):
                    if wanted in memory.read(end - begin):
                        return True
        return False

    @property
    def connections(self) -> int:
        """TCP connections to anywhere but the Runtime API."""
        ours = self._listener.getsockname()[1]
        open_ones = psutil.Process(self._process.pid).net_connections("tcp")
        return len([one for one in open_ones if one.status == "ESTABLISHED" and one.raddr[1] != ours])

    @property
    def peak_memory_bytes(self) -> int:
        """The largest resident set so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    @property
    def processor_seconds(self) -> float:
        """What all of its threads have spent on a processor: hardly moved by what else the machine is doing."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9

    @property
    def output(self) -> str:
        """What the process has written."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def _next_request(self) -> tuple[str, socket.socket, bytes]:
        """The next whole request: ("next" | "response" | "error" | "init", its connection, its body)."""
        deadline = time.perf_counter() + _LIMIT_SECONDS
        while True:
            ready = self._selector.select(timeout=0.5)
            if not ready and (self._process.poll() is not None or time.perf_counter() > deadline):
                raise FunctionFailed(f"no answer (exit status {self._process.poll()}):\n{self.output}")
            for key, _ in ready:
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is self._listener:
                    accepted, _ = self._listener.accept()
                    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._buffers[accepted] = b""
                    self._selector.register(accepted, selectors.EVENT_READ)
                    continue
                request = self._receive(connection)
                if request is not None:
                    return request

    def _receive(self, connection: socket.socket) -> tuple[str, socket.socket, bytes] | None:
        received = connection.recv(1 << 20)
        if not received:
            self._selector.unregister(connection)
            del self._buffers[connection]
            connection.close()
            return None
        buffered = self._buffers[connection] + received
        head, separator, body = buffered.partition(b"\r\n\r\n")
        length = _content_length(head) if separator else None
        if length is None or len(body) < length:
            self._buffers[connection] = buffered
            return None
        self._buffers[connection] = body[length:]
        path = head.split(b" ", 2)[1]
        kind = path.removeprefix(_PREFIX).rpartition(b"/")[2].decode()
        if path == _PREFIX + b"init/error":
            connection.sendall(_ACCEPTED)
            raise FunctionFailed(body[:length].decode(errors="replace"))
        if path == _PREFIX + b"restore/next":
            self._snapshot = connection
        elif kind == "next":
            self._waiting = connection
        return kind, connection, body[:length]


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
        if name.strip().lower() == b"transfer-encoding" and value.strip():
            raise NotImplementedError(line)
    return 0
