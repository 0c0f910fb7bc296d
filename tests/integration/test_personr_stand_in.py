"""The vendor stand-in does what the vendor's page says, and misbehaves as told."""

import base64
import json
from collections.abc import Iterator

import pytest
import urllib3

from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD, MINT_PATH, PersonrServer, scenarios

EMPTY_FORM = b"--b0undary--\r\n"


@pytest.fixture
def vendor() -> Iterator[PersonrServer]:
    with PersonrServer() as server:
        yield server


def mint(
    vendor: PersonrServer,
    password: str = DEFAULT_PASSWORD,
    method: str = "POST",
    body: bytes = EMPTY_FORM,
    timeout: float = 60,
) -> urllib3.BaseHTTPResponse:
    basic = base64.b64encode(f"{DEFAULT_EMAIL}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "multipart/form-data; boundary=b0undary"}
    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        return pool.request(method, vendor.url + MINT_PATH, body=body, headers=headers, redirect=False)


def test_bad_credentials_get_the_documented_invalid_json(vendor: PersonrServer) -> None:
    answer = mint(vendor, password="wrong")
    assert answer.status == 400
    assert "INVALID_LOGIN_CREDENTIALS" in answer.data.decode()
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.data)
    assert vendor.mint_count() == 0


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [("GET", EMPTY_FORM, 405), ("POST", b"", 400), ("POST", b"{}", 400), ("POST", b"--other--\r\n", 400)],
)
def test_what_the_page_does_not_allow_is_refused(
    vendor: PersonrServer, method: str, body: bytes, status: int
) -> None:
    assert mint(vendor, method=method, body=body).status == status
    assert vendor.mint_count() == 0


def test_a_late_mint_kills_the_token_minted_meanwhile(vendor: PersonrServer) -> None:
    vendor.script(scenarios.late_mint(2.5))
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        mint(vendor, timeout=0.5)
    token = mint(vendor).json()["response"]["token"]
    assert vendor.is_live(token)
    vendor._late[0].join()
    assert not vendor.is_live(token)
