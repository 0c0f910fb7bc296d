"""A vendor that is not reached, or cannot prove who it is, gets no credentials, and nothing was minted for certain."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
import trustme

from tests.integration.records import Record, note, seen
from tests.integration.test_crash_matrix import outcome, too_old
from tests.integration.world import MINT, TOKEN, Stage
from tests.kit.personr import API_PATH, PersonrServer
from tests.kit.stand_ins.raw import RawServer

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


def base_url_of(url: str, trusted: Path) -> dict[str, str]:
    return {"PERSONR_BASE_URL": f"{url}{API_PATH}", "SSL_CERT_FILE": str(trusted)}


def assert_nothing_is_sent(url: str, trusted: Path, fault: str, record: Record) -> None:
    """To that address, while the stored token is due; and the next run, to the vendor itself, mints."""
    with Stage() as world:
        too_old(world)
        mints = world.vendor.mint_count()
        itself = dict(world.refresh.environment)
        world.refresh.environment.update(base_url_of(url, trusted))
        world.refresh.go_cold()
        result = world.refresh.invoke({}, told_seconds=RUN_SECONDS)
        assert "nothing was sent" in result.problem["message"]
        assert "MINTING" not in world.secrets.labels(TOKEN), "no question is left open"
        failed = {
            "run": seen(result.error_type, "VendorUnavailable"),
            "requests": seen(world.wire.counts()[MINT], 0),
            "mints": seen(world.vendor.mint_count() - mints, 0),
            "token_works": seen(world.holds(), True),
        }
        world.refresh.environment = itself
        world.refresh.go_cold()
        following = seen(outcome(world.tick()), "refreshed")
        assert world.holds()
        suspect = seen((world.stored or {})["suspect_until"] is not None, False)
        note(record, "vendor", {"fault": fault}, **failed, may_have_minted=suspect, next=following)


def test_a_vendor_with_a_good_certificate_is_trusted(authority: trustme.CA, trusted: Path) -> None:
    good = server_context(authority.issue_cert("127.0.0.1"))
    with PersonrServer(tls=good) as vendor, Stage(environment=base_url_of(vendor.url, trusted)) as world:
        assert world.tick().payload["outcome"] == "refreshed"
        assert vendor.is_live(world.stored_token)


@pytest.mark.parametrize("name", ["unknown authority", "another host's certificate", "expired certificate"])
def test_nothing_is_sent_to_a_vendor_with_a_bad_certificate(
    authority: trustme.CA, trusted: Path, name: str, record_property: Record
) -> None:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    certificate = {
        "unknown authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "another host's certificate": lambda: authority.issue_cert("elsewhere.example"),
        "expired certificate": lambda: authority.issue_cert("127.0.0.1", not_after=yesterday),
    }[name]()
    with PersonrServer(tls=server_context(certificate)) as vendor:
        assert_nothing_is_sent(vendor.url, trusted, f"TLS: {name}", record_property)
        assert vendor.seen == []


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("hung up in the handshake", b""),
        ("plain HTTP in place of a handshake", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("handshake failure alert", bytes.fromhex("15030300020228")),
    ],
)
def test_nothing_is_sent_after_a_failing_handshake(
    trusted: Path, name: str, reply: bytes, record_property: Record
) -> None:
    with RawServer(reply) as server:
        assert_nothing_is_sent(f"https://{server.address}", trusted, f"TLS: {name}", record_property)


def test_nothing_is_sent_to_a_name_that_does_not_resolve(trusted: Path, record_property: Record) -> None:
    assert_nothing_is_sent("https://nowhere.invalid", trusted, "name does not resolve", record_property)
