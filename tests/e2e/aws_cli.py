"""The AWS CLI without its second of start-up: a process that has it loaded already forks once a command.

`quick_aws` makes a folder with an `aws` in it, to be put first on PATH. Run as a program (by the interpreter that
has the CLI installed) this file is the process that forks; it takes the socket's path.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

READY_WITHIN_SECONDS = 120.0
_LONGEST_REQUEST = 1 << 20
_CLIENT = """#!{python} -SE
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}})
socket.send_fds(server, [request.encode() + b"\\n"], [0, 1, 2])
sys.exit(int(server.makefile().read() or "255"))
"""


@contextmanager
def quick_aws(interpreter: Path) -> Iterator[Path]:
    """A folder that holds a quick `aws`. `interpreter` has awscli installed."""
    with tempfile.TemporaryDirectory(prefix="aws-cli-") as name:
        folder = Path(name)
        address, client = folder / "socket", folder / "aws"
        client.write_text(_CLIENT.format(python=interpreter, address=str(address)))
        client.chmod(0o755)
        command: list[str | Path] = [interpreter, __file__, address]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            deadline = time.monotonic() + READY_WITHIN_SECONDS
            while not address.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the AWS CLI did not start")
                time.sleep(0.02)
            yield folder
        finally:
            server.terminate()
            server.wait(10)


def serve(address: str) -> None:
    """Forks for every connection, which brings its command, its environment, its folder and its three files."""
    # Only the CLI's own environment has it.
    run = importlib.import_module("awscli.clidriver").main

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address + ".new")
        listener.listen()
        # Whoever sees the name may connect.
        os.rename(address + ".new", address)  # noqa: PTH104
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                os._exit(_answer(connection, run))
            connection.close()


def _answer(connection: socket.socket, run: Callable[[], int]) -> int:
    data, files, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, 3)
    while not data.endswith(b"\n"):
        data += connection.recv(_LONGEST_REQUEST)
    request = json.loads(data)
    for target, file in enumerate(files):
        os.dup2(file, target)
    os.chdir(request["folder"])
    # awscli has put the place of its own data in there.
    data_path = os.environ["AWS_DATA_PATH"]
    os.environ.clear()
    os.environ.update({"AWS_DATA_PATH": data_path, **request["environment"]})
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arguments = request["arguments"]
    if arguments[:1] == ["sqs"] and "AWS_ENDPOINT_URL" in os.environ:
        # For this service version 1 of the CLI prefers an address of its own.
        arguments = ["--endpoint-url", os.environ["AWS_ENDPOINT_URL"], *arguments]
    sys.argv = ["aws", *arguments]
    try:
        code: object = run()
    except SystemExit as leaving:
        code = leaving.code
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(code if isinstance(code, int) else 0 if code is None else 1).encode())
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
