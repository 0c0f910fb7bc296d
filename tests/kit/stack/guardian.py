"""Ends what it has started when its parent ends, in whatever way the parent ends: kill -9 leaves nothing behind.

    guardian.py PARENT FOLDER_PREFIX     (a process id; what the folder's name begins with)

Makes a temporary folder and writes its path, as JSON, to stdout. Reads one line of JSON from stdin,
`{"command": [...], "environment": {...}, "log": name}`, starts the command in the folder as the leader of a
process group, and writes the group's number. Then it waits until stdin is closed, which is when the parent
asks for the end or is dead, ends the group and removes the folder.

Has a process group of its own, so that Ctrl-C does not reach it. Needs the standard library alone.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENDS_WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.1


def main() -> None:
    parent, prefix = int(sys.argv[1]), sys.argv[2]
    told_to_go: list[int] = []
    # Asked to go, it goes the orderly way.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _frame: told_to_go.append(number))
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    process = None
    try:
        _tell(str(folder))
        if order := sys.stdin.readline():
            process = _start(json.loads(order), folder)
            _tell(process.pid)
            while os.getppid() == parent and not told_to_go and not _is_at_its_end(sys.stdin.fileno()):
                # Reaped, so that the parent sees that it is gone.
                process.poll()
    finally:
        if process is not None:
            _end_group(process)
        _remove(folder)


def _tell(what: object) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(f"{json.dumps(what)}\n")
        sys.stdout.flush()


def _start(order: dict[str, object], folder: Path) -> subprocess.Popen[bytes]:
    command, environment = order["command"], order["environment"]
    if not isinstance(command, list) or not isinstance(environment, dict):
        raise TypeError("no order")
    with (folder / str(order["log"])).open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


def _is_at_its_end(pipe: int) -> bool:
    """Waits for a moment. A fork of the parent may hold the pipe open: so the parent is looked for as well."""
    readable, _, _ = select.select([pipe], [], [], POLL_SECONDS)
    return bool(readable) and not os.read(pipe, 1)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    # Nothing is kept that an orderly end could save, and that one takes seconds.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(ENDS_WITHIN_SECONDS)


def _remove(folder: Path) -> None:
    # A killed process may still be writing for a moment.
    deadline = time.monotonic() + ENDS_WITHIN_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
