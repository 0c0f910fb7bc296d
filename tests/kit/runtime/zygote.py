"""Forks a function's processes from one that has imported nothing but libraries, which is most of what a start costs.

Runs in the function's interpreter and search path; the modules to import are its arguments. It serves the socket on
its stdin until that is closed: `{"environment", "folder", "log"}` as JSON in, the new process's pidfd out.
"""

import importlib
import json
import os
import runpy
import socket
import sys
from contextlib import suppress

MESSAGE_BYTES = 1 << 16


def serve(channel: socket.socket) -> None:
    """Forks once a request. Returns at the end of input, and in no fork."""
    while request := channel.recv(MESSAGE_BYTES):
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        pid = os.fork()
        if pid == 0:
            channel.detach()
            become(**json.loads(request))
        process = os.pidfd_open(pid)
        socket.send_fds(channel, [str(pid).encode()], [process])
        os.close(process)


def become(environment: dict[str, str], folder: str, log: str) -> None:
    """What `python -m awslambdaric app.handler` is in that folder, with that environment."""
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(environment)
    if "COVERAGE_PROCESS_CONFIG" in environment:
        importlib.import_module("coverage").process_startup()
    sys.argv = ["awslambdaric", "app.handler"]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    for library in sys.argv[1:]:
        importlib.import_module(library)
    serve(socket.socket(fileno=0))
