"""MiniStack as a process of ours: on a free loopback port, in a clean environment, leaving nothing behind."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Self

import bootstrap

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
READY_WITHIN_SECONDS = 30.0
ENDS_WITHIN_SECONDS = 5.0
POLL_SECONDS = 0.05


class MiniStack:
    """A running MiniStack, from `with` to the end of its block.

    IAM users, execution roles, resource policies and URL signatures are enforced (AUTH=true); the access
    key `test` is root's. Its functions run as its child processes, in its process group, with its
    environment, hence the clean one. Everything that it writes is in one temporary folder.
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        bootstrap.make_environment("ministack", quiet=True)
        self.folder = Path(tempfile.mkdtemp(prefix="token-vending-stack-"))
        try:
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
        """What MiniStack has said so far."""
        return (self.folder / "ministack.log").read_text(encoding="utf-8", errors="replace")

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
        self._log = (self.folder / "ministack.log").open("wb")
        self._process = subprocess.Popen(
            [str(bootstrap.BUILD / "ministack" / "bin" / "python"), "-m", "ministack"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C is ours to handle, and all of it can be ended together.
            start_new_session=True,
        )
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MiniStack did not start:\n{self.server_log()}")
            time.sleep(POLL_SECONDS)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _signal_group(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(ENDS_WITHIN_SECONDS)
            _signal_group(process.pid, signal.SIGKILL)
            process.wait(ENDS_WITHIN_SECONDS)
        if self._log is not None:
            self._log.close()
        # A killed function may still be writing for a moment.
        deadline = time.monotonic() + ENDS_WITHIN_SECONDS
        while self.folder != Path() and self.folder.exists() and time.monotonic() < deadline:
            shutil.rmtree(self.folder, ignore_errors=True)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
