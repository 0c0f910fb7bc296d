"""A function's processes, as forks of one that has its libraries (zygote.py), held by their pidfds."""

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.kit.runtime.artefacts import Artefact, interpreter

ZYGOTE = str(Path(__file__).with_name("zygote.py"))


class Process:
    """A process that is nobody's child here."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._ends = select.poll()
        self._ends.register(descriptor, select.POLLIN)

    def ended(self, within_seconds: float = 0) -> bool:
        """Whether it has ended, or does so in this time."""
        return bool(self._ends.poll(within_seconds * 1000))

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def forget(self) -> None:
        os.close(self._descriptor)


class Zygote:
    """Starts the processes of one artefact. Its own one lives as long as this one."""

    def __init__(self, command: tuple[str, ...], variables: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Of a group of its own: a Ctrl-C is for the tests, which end what they have started.
            self._process = subprocess.Popen(
                command, env=dict(variables), stdin=theirs.fileno(), process_group=0
            )

    def start(self, environment: Mapping[str, str], folder: Path, log: Path) -> Process:
        """A new process, with that environment and working directory; it writes into that file."""
        request = {"environment": dict(environment), "folder": str(folder), "log": str(log)}
        with self._lock:
            self._channel.sendall(json.dumps(request).encode())
            pid, descriptors, _, _ = socket.recv_fds(self._channel, 16, 1)
        return Process(int(pid), descriptors[0])

    def close(self) -> None:
        """End it; what it has started lives on."""
        self._channel.close()
        self._process.wait()


@functools.cache
def _zygote(command: tuple[str, ...], variables: tuple[tuple[str, str], ...]) -> Zygote:
    made = Zygote(command, dict(variables))
    atexit.register(made.close)
    return made


def start(artefact: Artefact, environment: Mapping[str, str], log: Path) -> Process:
    """A new process of the artefact. What the interpreter itself reads of its environment has a zygote of its own."""
    read = ("PATH", "LANG", "TZ")
    variables = {
        name: text for name, text in environment.items() if name in read or name.startswith("PYTHON")
    }
    # -S: no site-packages, so that imports come from the task, its layer and the runtime client only.
    command = (interpreter(), "-S", "-P", ZYGOTE, "simplejson", *artefact.libraries)
    made = _zygote(command, tuple(sorted(variables.items())))
    return made.start(environment, artefact.task_root, log)
