import ssl
from collections.abc import Iterator
from pathlib import Path

import botocore
import pytest
import trustme
from botocore.httpsession import create_urllib3_context

from scripts import build_artifact
from tests.kit.secrets_manager.server import SecretsManager
from token_vending.adapters import aws_trust
from token_vending.adapters.aws_trust import AwsTrust
from token_vending.adapters.signed_aws import SignedAws
from token_vending.errors import ConfigurationError, StoreUnavailable

# Connections are kept for as long as the process lives.
pytestmark = [pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
EVERY = Path(botocore.__file__).with_name("cacert.pem")
KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}
HEADERS = {"X-Amz-Target": "secretsmanager.GetSecretValue", "Content-Type": "application/x-amz-json-1.1"}


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`aws.pem` for AWS's own authorities, `every.pem` for all of botocore's, `ours.pem` with the server's."""
    authority.cert_pem.write_to_path(tmp_path / "ours.pem")
    for name in ("aws.pem", "every.pem"):
        trustme.CA().cert_pem.write_to_path(tmp_path / name)
    monkeypatch.setattr(aws_trust, "AWS_ROOTS", str(tmp_path / "aws.pem"))
    monkeypatch.setattr(aws_trust, "_every_authority", lambda: str(tmp_path / "every.pem"))
    return tmp_path


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with SecretsManager() as secrets:
        inner = secrets._started
        inner.socket = context.wrap_socket(inner.socket, server_side=True, do_handshake_on_connect=False)
        yield f"https://localhost:{secrets.port}"


def ask(server: str, **environment: str) -> int:
    # One attempt, as for reading ahead: trust is widened within it.
    aws = SignedAws({**KEYS, "AWS_ENDPOINT_URL": server, **environment})
    status, _ = aws.post(
        "secretsmanager", "GetSecretValue", "/", HEADERS, b'{"SecretId": "none"}', attempts=1
    )
    return status


@pytest.mark.parametrize("file", ["aws.pem", "every.pem"], ids=["AWS's own", "all of the SDK's"])
def test_a_server_that_these_authorities_vouch_for_is_trusted_in_one_attempt(
    file: str, files: Path, server: str
) -> None:
    (files / "ours.pem").rename(files / file)
    assert ask(server) == 400


def test_a_handshake_that_fails_for_another_reason_widens_nothing(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widened: list[AwsTrust] = []
    monkeypatch.setattr(AwsTrust, "widen", widened.append)
    with SecretsManager() as plain, pytest.raises(StoreUnavailable, match="SSLError"):
        ask(f"https://localhost:{plain.port}")
    assert not widened


def test_a_server_that_nobody_vouches_for_is_refused(files: Path, server: str) -> None:
    with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
        ask(server)


def test_a_server_with_a_certificate_for_another_name_is_refused(files: Path, server: str) -> None:
    (files / "ours.pem").rename(files / "aws.pem")
    with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
        ask(server.replace("localhost", "127.0.0.1"))


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_bundle_of_the_operators_own_is_all_that_is_trusted(
    variable: str, files: Path, server: str
) -> None:
    assert ask(server, **{variable: str(files / "ours.pem")}) == 400
    (files / "ours.pem").rename(files / "every.pem")
    with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
        ask(server, **{variable: str(files / "aws.pem")})


def test_of_two_bundles_awss_is_the_one(files: Path, server: str) -> None:
    bundles = {"AWS_CA_BUNDLE": str(files / "ours.pem"), "REQUESTS_CA_BUNDLE": str(files / "aws.pem")}
    assert ask(server, **bundles) == 400


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_bundle_that_cannot_be_read_is_named(variable: str, files: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"^{variable} "):
        AwsTrust({variable: str(files / "none.pem")})


def test_a_broken_file_of_the_layers_is_not_laid_at_the_operators_door(files: Path) -> None:
    (files / "aws.pem").write_text("no certificates")
    with pytest.raises(ConfigurationError, match=r"aws-roots\.pem") as caught:
        AwsTrust({})
    assert "AWS_CA_BUNDLE" not in caught.value.detail


def test_certificates_are_always_verified_and_by_the_sdks_rules(files: Path) -> None:
    for environment in ({}, {"AWS_CA_BUNDLE": str(files / "ours.pem")}):
        context = AwsTrust(environment).context
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.verify_flags == create_urllib3_context().verify_flags


def test_the_build_writes_every_root_of_amazon_trust_services_and_its_cross_signers(tmp_path: Path) -> None:
    build_artifact.write_aws_roots(EVERY, tmp_path / "roots.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tmp_path / "roots.pem")
    every = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    every.load_verify_locations(EVERY)
    few = context.get_ca_certs(binary_form=True)
    assert len(few) >= 5
    assert set(few) < set(every.get_ca_certs(binary_form=True))
    # Whatever root of Amazon's botocore comes to trust must be here too.
    amazons = [root for root in every.get_ca_certs() if "Amazon" in str(root["subject"])]
    assert {str(root["subject"]) for root in amazons} <= {
        str(root["subject"]) for root in context.get_ca_certs()
    }


def test_a_missing_root_stops_the_build(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "every.pem")
    with pytest.raises(SystemExit, match="Amazon Root CA 1"):
        build_artifact.write_aws_roots(tmp_path / "every.pem", tmp_path / "roots.pem")
