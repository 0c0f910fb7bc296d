"""`client.requests_auth()` with requests against a real server."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, override

import pytest
import requests
import requests.adapters

from token_client import ConfigurationError, RequestNotRepeatable, TokenClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from token_client.testing import FakeTokenSource

    from .vendor import Vendor

BODY = b"once more, please"


@pytest.fixture
def session(client: TokenClient) -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.auth = client.requests_auth()
        yield opened


def generated() -> Iterator[bytes]:
    yield BODY


def test_a_request_carries_the_token(session: requests.Session, vendor: Vendor) -> None:
    assert session.get(f"{vendor.url}/whoami").status_code == 200
    assert vendor.authorizations == ["Bearer token-1"]


@pytest.mark.parametrize("data", [BODY, io.BytesIO(BODY)], ids=["bytes", "file"])
def test_a_killed_token_costs_one_more_request_and_no_failure(
    session: requests.Session, vendor: Vendor, source: FakeTokenSource, data: Any
) -> None:
    source.kill()

    answer = session.post(f"{vendor.url}/create", data=data)

    assert answer.status_code == 200
    assert [refused.status_code for refused in answer.history] == [401]
    assert vendor.authorizations == ["Bearer token-1", "Bearer token-2"]
    assert vendor.bodies == [BODY, BODY]
    assert [request.rejected_version for request in source.requests] == [None, "version-1"]


def test_a_stream_is_sent_once_and_its_error_says_so(
    session: requests.Session, vendor: Vendor, source: FakeTokenSource
) -> None:
    source.kill()

    with pytest.raises(RequestNotRepeatable, match="version-1"):
        session.post(f"{vendor.url}/create", data=generated())

    assert vendor.bodies == [BODY]


class Wire(requests.adapters.BaseAdapter):
    """Sends nothing, and remembers that it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str | None] = []

    @override
    def send(self, request: requests.PreparedRequest, *_args: Any, **_options: Any) -> requests.Response:
        self.sent.append(request.url)
        raise requests.ConnectionError

    @override
    def close(self) -> None:
        pass


@pytest.mark.parametrize("url", ["http://personr.example/x", "http://192.0.2.1\\@127.0.0.1/"])
def test_a_token_goes_over_https_or_to_loopback_only(session: requests.Session, url: str) -> None:
    wire = Wire()
    session.mount("http://", wire)

    with pytest.raises(ConfigurationError, match="https"):
        session.get(url)

    assert wire.sent == []


def test_a_second_refusal_is_the_answer_and_is_reported(
    session: requests.Session, vendor: Vendor, source: FakeTokenSource
) -> None:
    vendor.refuses_everything = True

    assert session.get(f"{vendor.url}/whoami").status_code == 401
    assert len(vendor.seen) == 2
    assert [request.rejected_version for request in source.requests] == [None, "version-1", "version-2"]


def test_a_redirect_on_the_same_host_is_healed_too(
    session: requests.Session, vendor: Vendor, source: FakeTokenSource
) -> None:
    source.kill()

    assert session.get(f"{vendor.url}/redirect?to=/whoami").status_code == 200


def test_a_redirect_to_another_host_loses_the_token_and_its_401_is_not_reported(
    session: requests.Session, vendor: Vendor, elsewhere: Vendor, source: FakeTokenSource
) -> None:
    answer = requests.get(
        f"{vendor.url}/redirect?to={elsewhere.url.replace('127.0.0.1', 'localhost')}/whoami",
        auth=session.auth,
        timeout=10,
    )

    assert answer.status_code == 401
    assert elsewhere.authorizations == [None]
    assert [request.rejected_version for request in source.requests] == [None]
