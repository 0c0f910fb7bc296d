"""Secrets Manager, Lambda's Invoke and the vendor over HTTPS, in a process of their own; Secrets Manager also over
plain HTTP, where no list of authorities is read.

A process of their own, so that what serves a cold start does not share an interpreter with what measures it.
"""

import contextlib
import datetime as dt
import multiprocessing
import ssl
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import trustme

from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD, PersonrServer
from tests.kit.secrets_manager.server import SecretsManager
from tests.kit.stand_ins.lambda_service import LambdaService
from tests.kit.stand_ins.loopback import LoopbackServer

ACCESS_TOKEN = "bus|" + "1234567890abcdef" * 4


@contextlib.contextmanager
def served(serve: Callable[[Connection], None]) -> Iterator[Any]:
    """What `serve` sends, from a process of its own, that lasts as long as it is used."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    there.close()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join(10)


def serve(user: Connection) -> None:
    """Sends the addresses, and the certificate of the authority that theirs are from and that exists only here."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    servers = SecretsManager(), SecretsManager(), LambdaService(), PersonrServer()
    with servers[0] as secrets, servers[1] as plain, servers[2] as functions, servers[3] as vendor:
        credentials, token = _fill(secrets)
        user.send(
            {
                "authority": authority.cert_pem.bytes().decode(),
                "plain_secrets_manager": plain.url,
                "plain_token": _fill(plain)[1],
                "secrets_manager": _over_tls(secrets, context),
                "lambda": _over_tls(functions, context),
                "vendor": _over_tls(vendor, context) + "/api/1.1/wf",
                "token": token,
                "token_version": secrets.version_of("token"),
                "credentials": credentials,
            }
        )
        user.poll(None)


def _over_tls(server: LoopbackServer, context: ssl.SSLContext) -> str:
    """Make a started stand-in speak TLS; return its https address."""
    inner = server._started
    inner.socket = context.wrap_socket(inner.socket, server_side=True, do_handshake_on_connect=False)
    return f"https://localhost:{server.port}"


def token_secret(credentials_version: str | None = "1") -> dict[str, Any]:
    """A token in the middle of its life."""
    now = dt.datetime.now(dt.UTC)
    return {
        "access_token": ACCESS_TOKEN,
        "token_type": "Bearer",
        "issued_at": (now - dt.timedelta(hours=2)).isoformat(),
        "expires_at": (now + dt.timedelta(days=300)).isoformat(),
        "user_id": "1234567890123x123456789012345678",
        "credentials_version": credentials_version,
        "reason": "no_token",
        "run": "run-0123456789abcdef0123456789abcdef",
        "suspect_until": None,
    }


def _fill(secrets: SecretsManager) -> tuple[str, str]:
    """The ARNs of the credentials and of the token."""
    credentials = secrets.create("credentials", {"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD})
    return credentials, secrets.create("token", token_secret(secrets.version_of("credentials")))
