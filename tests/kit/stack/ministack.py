"""MiniStack as a process of ours: on a free loopback port, in a clean environment, leaving nothing behind."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[3]
REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
READY_WITHIN_SECONDS = 120.0
ENDS_WITHIN_SECONDS = 60.0
POLL_SECONDS = 0.05
LOG = "ministack.log"
GUARDIAN = Path(__file__).with_name("guardian.py")
EMULATOR = Path(__file__).with_name("emulator.py")


class MiniStack:
    """A running MiniStack, from `with` to the end of its block.

    IAM users, execution roles, resource policies and URL signatures are enforced (AUTH=true); the access
    key `test` is root's. Its functions run as its child processes, in its process group, with its
    environment, hence the clean one. Everything that it writes is in one temporary folder. A guardian ends
    the group and removes the folder, even if this process is killed (see guardian.py).
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path()
        self.group: int | None = None
        """The process group of MiniStack and its functions; what joins it is ended with it."""
        self._guardian: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._guardian = subprocess.Popen(
            [sys.executable, "-S", str(GUARDIAN), str(os.getpid()), "token-vending-stack-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for this process, which says when it is over.
            process_group=0,
        )
        try:
            self.folder = Path(self._hear())
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def environment(self) -> dict[str, str]:
        """What makes the AWS tools and SDKs speak to this MiniStack, as root, and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def server_log(self) -> str:
        return (self.folder / LOG).read_text(encoding="utf-8", errors="replace")

    def _start(self) -> None:
        temporary = self.folder / "tmp"
        temporary.mkdir()
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "TMPDIR": str(temporary),
            "STATE_DIR": str(self.folder / "state"),
            "S3_DATA_DIR": str(self.folder / "s3"),
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "AUTH": "true",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        python = str(ROOT / ".build" / "ministack" / "bin" / "python")
        self._tell({"command": [python, "-P", str(EMULATOR)], "environment": environment, "log": LOG})
        self.group = int(self._hear())
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not self._is_ready():
            if not self._runs() or time.monotonic() > deadline:
                raise RuntimeError(f"MiniStack did not start:\n{self.server_log()}")
            time.sleep(POLL_SECONDS)

    def _tell(self, order: dict[str, Any]) -> None:
        guardian = self._guardian
        if guardian is None or guardian.stdin is None:
            raise RuntimeError("MiniStack has no guardian")
        guardian.stdin.write(f"{json.dumps(order)}\n")
        guardian.stdin.flush()

    def _hear(self) -> Any:
        guardian = self._guardian
        if guardian is None or guardian.stdout is None or not (line := guardian.stdout.readline()):
            raise RuntimeError("MiniStack's guardian is gone")
        return json.loads(line)

    def _runs(self) -> bool:
        try:
            os.kill(self.group or 0, 0)
        except ProcessLookupError:
            return False
        return True

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _end(self) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return
        # Closes the guardian's stdin, which is the word to go.
        guardian.communicate(timeout=ENDS_WITHIN_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
