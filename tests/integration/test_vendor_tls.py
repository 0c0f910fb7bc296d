"""A vendor that cannot prove who it is gets no credentials, and nothing was minted for certain."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trustme

from tests.integration.records import Record, note
from tests.integration.world import TOKEN, World
from tests.kit.personr import API_PATH, PersonrServer

RUN_SECONDS = 4.0


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@contextmanager
def run_against(url: str, trusted: Path) -> Iterator[World]:
    environment = {"PERSONR_BASE_URL": f"{url}{API_PATH}", "SSL_CERT_FILE": str(trusted)}
    with World(environment=environment) as world:
        yield world


def assert_nothing_was_sent(world: World, name: str, record: Record) -> None:
    result = world.refresh.invoke({}, timeout_seconds=RUN_SECONDS)
    assert result.error_type == "VendorUnavailable", result
    assert "nothing was sent" in result.problem["message"]
    assert "MINTING" not in world.secrets.labels(TOKEN), "no question is left open"
    note(
        record,
        "vendor",
        fault=f"TLS: {name}",
        run="VendorUnavailable",
        requests=0,
        mints=0,
        token_works=True,
        may_have_minted=False,
        next="refreshed",
    )


def test_a_vendor_with_a_good_certificate_is_trusted(authority: trustme.CA, trusted: Path) -> None:
    good = server_context(authority.issue_cert("127.0.0.1"))
    with PersonrServer(tls=good) as vendor, run_against(vendor.url, trusted) as world:
        assert world.tick().payload["outcome"] == "refreshed"
        assert vendor.is_live(world.stored_token)


@pytest.mark.parametrize("name", ["unknown authority", "another host's certificate", "expired certificate"])
def test_a_bad_certificate(authority: trustme.CA, trusted: Path, name: str, record_property: Record) -> None:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    certificate = {
        "unknown authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "another host's certificate": lambda: authority.issue_cert("elsewhere.example"),
        "expired certificate": lambda: authority.issue_cert("127.0.0.1", not_after=yesterday),
    }[name]()
    with PersonrServer(tls=server_context(certificate)) as vendor:
        with run_against(vendor.url, trusted) as world:
            assert_nothing_was_sent(world, name, record_property)
        assert vendor.seen == []


@contextmanager
def listener(reply: bytes) -> Iterator[str]:
    """Whoever connects is answered these bytes in place of a handshake, and hung up on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with closing(connection):
                    connection.recv(4096)
                    connection.sendall(reply)

        threading.Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("hung up in the handshake", b""),
        ("plain HTTP in place of a handshake", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("handshake failure alert", bytes.fromhex("15030300020228")),
    ],
)
def test_a_failing_handshake(trusted: Path, name: str, reply: bytes, record_property: Record) -> None:
    with listener(reply) as url, run_against(url, trusted) as world:
        assert_nothing_was_sent(world, name, record_property)
