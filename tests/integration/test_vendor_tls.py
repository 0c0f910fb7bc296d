"""A vendor that is not reached, or cannot prove who it is, gets no credentials, and nothing was minted for certain."""

import datetime as dt
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.integration.records import Observed, Record, note, seen
from tests.integration.test_crash_matrix import outcome, too_old
from tests.integration.test_faults import SHORT_RUN_SECONDS, UNAVAILABLE, next_run
from tests.integration.world import DEBUG, MINT, TOKEN, VENDOR, Stage
from tests.kit.personr import API_PATH, PersonrServer
from tests.kit.runtime import Result
from tests.kit.stand_ins.raw import RawServer

AUTHORITY = trustme.CA()
YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with Stage(environment=DEBUG) as made:
        yield made


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return path


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def base_url_of(url: str, trusted: Path) -> dict[str, str]:
    return {"PERSONR_BASE_URL": f"{url}{API_PATH}", "SSL_CERT_FILE": str(trusted)}


def nothing_was_sent(world: Stage, result: Result, mints: int) -> dict[str, Observed]:
    assert "nothing was sent" in result.problem["message"]
    assert "MINTING" not in world.secrets.labels(TOKEN), "no question is left open"
    return {
        "run": seen(outcome(result), UNAVAILABLE),
        "requests": seen(world.wire.counts()[MINT], 0),
        "mints": seen(world.vendor.mint_count() - mints, 0),
        "token_works": seen(world.holds(), True),
    }


def test_a_vendor_that_refuses_connections_was_not_asked(world: Stage, record_property: Record) -> None:
    too_old(world)
    mints = world.vendor.mint_count()
    world.wire.refuse_connections(VENDOR)
    result = world.refresh.invoke({}, told_seconds=SHORT_RUN_SECONDS)
    world.wire.accept_connections(VENDOR)
    ended = nothing_was_sent(world, result, mints)
    note(record_property, "vendor", {"fault": "connections refused"}, **ended, **next_run(world, False))


def assert_nothing_is_sent(world: Stage, url: str, trusted: Path, fault: str, record: Record) -> None:
    """To that address, while the stored token is due; and the next run, to the vendor itself, mints."""
    too_old(world)
    mints = world.vendor.mint_count()
    itself = world.refresh.environment
    world.refresh.environment = {**itself, **base_url_of(url, trusted)}
    world.refresh.go_cold()
    result = world.refresh.invoke({}, told_seconds=SHORT_RUN_SECONDS)
    world.refresh.environment = itself
    world.refresh.go_cold()
    ended = nothing_was_sent(world, result, mints)
    note(record, "vendor", {"fault": fault}, **ended, **next_run(world, False))


def test_a_vendor_with_a_good_certificate_is_trusted(trusted: Path) -> None:
    good = server_context(AUTHORITY.issue_cert("127.0.0.1"))
    with PersonrServer(tls=good) as vendor, Stage(environment=base_url_of(vendor.url, trusted)) as world:
        assert world.tick().payload["outcome"] == "refreshed"
        assert vendor.is_live(world.stored_token)


BAD_CERTIFICATES = {
    "unknown authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
    "another host's certificate": lambda: AUTHORITY.issue_cert("elsewhere.example"),
    "expired certificate": lambda: AUTHORITY.issue_cert("127.0.0.1", not_after=YESTERDAY),
}


@pytest.mark.parametrize("name", BAD_CERTIFICATES)
def test_nothing_is_sent_to_a_vendor_with_a_bad_certificate(
    world: Stage, trusted: Path, name: str, record_property: Record
) -> None:
    with PersonrServer(tls=server_context(BAD_CERTIFICATES[name]())) as vendor:
        assert_nothing_is_sent(world, vendor.url, trusted, f"TLS: {name}", record_property)
        assert vendor.seen == []


HANDSHAKES = {
    "hung up in the handshake": b"",
    "plain HTTP in place of a handshake": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "handshake failure alert": bytes.fromhex("15030300020228"),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_nothing_is_sent_after_a_failing_handshake(
    world: Stage, trusted: Path, name: str, record_property: Record
) -> None:
    with RawServer(HANDSHAKES[name]) as server:
        assert_nothing_is_sent(world, f"https://{server.address}", trusted, f"TLS: {name}", record_property)


def test_nothing_is_sent_to_a_name_that_does_not_resolve(
    world: Stage, trusted: Path, record_property: Record
) -> None:
    assert_nothing_is_sent(
        world, "https://nowhere.invalid", trusted, "name does not resolve", record_property
    )
