"""Secrets Manager, Lambda's Invoke and the vendor over HTTPS, in a process of their own; Secrets Manager also over
plain HTTP, where no list of authorities is read.

    python -m bench.aws FOLDER

Prints one JSON line with the addresses. FOLDER then holds ca.pem, the authority that the certificates
are from and that exists only there. A process of their own, so that what serves a cold start does not share an
interpreter with what measures it.
"""

import datetime as dt
import json
import signal
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD, PersonrServer
from tests.kit.secrets_manager.server import SecretsManager
from tests.kit.stand_ins.lambda_service import LambdaService
from tests.kit.stand_ins.loopback import LoopbackServer

ROOT = Path(__file__).resolve().parents[1]


def _over_tls(server: LoopbackServer, context: ssl.SSLContext) -> str:
    """Make a started stand-in speak TLS; return its https address."""
    inner = server._started
    inner.socket = context.wrap_socket(inner.socket, server_side=True, do_handshake_on_connect=False)
    return f"https://localhost:{server.port}"


def main() -> int:
    """Serve until SIGTERM."""
    folder = Path(sys.argv[1])
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with (
        SecretsManager() as secrets,
        SecretsManager() as plain,
        LambdaService() as functions,
        PersonrServer() as vendor,
    ):
        credentials, token = _fill(secrets)
        said = {
            "plain_secrets_manager": plain.url,
            "plain_token": _fill(plain)[1],
            "secrets_manager": _over_tls(secrets, context),
            "lambda": _over_tls(functions, context),
            "vendor": _over_tls(vendor, context) + "/api/1.1/wf",
            "token": token,
            "token_version": secrets.version_of("token"),
            "credentials": credentials,
        }
        print(json.dumps(said), flush=True)
        ended.wait()
    return 0


def _fill(secrets: SecretsManager) -> tuple[str, str]:
    """The ARNs of the credentials and of the token."""
    now = dt.datetime.now(dt.UTC)
    credentials = secrets.create("credentials", {"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD})
    token = secrets.create(
        "token",
        {
            "access_token": "bus|" + "1234567890abcdef" * 4,
            "token_type": "Bearer",
            "issued_at": _rfc3339(now - dt.timedelta(hours=2)),
            "expires_at": _rfc3339(now + dt.timedelta(days=300)),
            "user_id": "1234567890123x123456789012345678",
            "credentials_version": secrets.version_of("credentials"),
            "reason": "no_token",
            "run": "run-0123456789abcdef0123456789abcdef",
            "suspect_until": None,
        },
    )
    return credentials, token


def _rfc3339(moment: dt.datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class Aws:
    """The stand-ins' process, from outside. `addresses` is what it said of itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = folder / "ca.pem"
        self.addresses: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.aws", str(self._folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stand-ins ended with status {self._process.wait(10)}")
        self.addresses = json.loads(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        assert self._process.stdout is not None
        self._process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
