"""`make try-issuer`: what it shows of a description, and that it never shows a token or a password."""

import json
from pathlib import Path

import pytest

from scripts import try_issuer
from tests.kit.descriptions import FILES
from tests.kit.issuer import IssuerServer
from token_vending.issuers import load
from token_vending.token import fingerprint

OAUTH2 = "oauth2-client-credentials"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, **environment: str) -> int:
    monkeypatch.setattr("sys.argv", ["try_issuer.py", *arguments])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return try_issuer.main()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_description_that_is_delivered_holds_against_its_stand_in(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, str(file)) == 0
    shown = capsys.readouterr().out
    assert "it holds" in shown
    (document,) = (line for line in shown.splitlines() if line.startswith("{"))
    assert json.loads(document) == json.loads(file.read_text())


def test_a_mistake_is_told_by_its_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.json"
    file.write_text(FILES[0].read_text().replace('"answer"', '"answers"'))
    assert run(monkeypatch, str(file)) == 2
    assert "'answer" in capsys.readouterr().err


@pytest.mark.parametrize("right", [True, False], ids=["right credentials", "wrong credentials"])
def test_live_logs_in_once_and_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, right: bool
) -> None:
    with IssuerServer(load(OAUTH2), lifetime_seconds=3600) as server:
        secret = server.credentials.fields["client_secret"] if right else "hunter2 of somebody"
        environment = {
            f"CREDENTIAL_{name.upper()}": value for name, value in server.credentials.fields.items()
        } | {"CREDENTIAL_CLIENT_SECRET": secret, "ISSUER_URL": server.base_url}
        status = run(monkeypatch, OAUTH2, "--live", **environment)
        shown = "".join(capsys.readouterr())
        assert len(server.mint_requests) == 1
        assert status == (0 if right else 1)
        assert secret not in shown
        if right:
            (token,) = server.ever_minted
            assert token not in shown
            assert fingerprint(token) in shown
            assert "1:00:00" in shown
        else:
            assert "CredentialsRefused" in shown


def test_live_asks_for_what_the_environment_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, OAUTH2, "--live", CREDENTIAL_CLIENT_ID="i") == 2
    assert "CREDENTIAL_CLIENT_SECRET" in capsys.readouterr().err
