"""`client.http` against a real server."""

from __future__ import annotations

import logging
import os
import time
import traceback
from typing import TYPE_CHECKING

import pytest
import urllib3
from urllib3._collections import HTTPHeaderDict
from urllib3.util.retry import RequestHistory

from tests.unit.client.fakes import Clock, ScriptedSource, timed
from token_client import ConfigurationError, TokenClient, TokenUnavailable
from token_client._pool import token_reached
from token_client.testing import timed_client

if TYPE_CHECKING:
    from pathlib import Path

    from token_client.testing import FakeTokenSource

    from .vendor import Vendor

BODY = b"once more, please"


def test_a_file_is_wound_back_to_where_it_stood(
    client: TokenClient, vendor: Vendor, source: FakeTokenSource, tmp_path: Path
) -> None:
    source.kill()
    (tmp_path / "upload").write_bytes(b"skipped" + BODY)
    with (tmp_path / "upload").open("rb") as file:
        file.seek(len(b"skipped"))
        client.http.request("POST", f"{vendor.url}/create", body=file)

    assert vendor.bodies == [BODY, BODY]


def test_the_first_token_and_the_next_one_are_waited_for_within_the_deadline_of_the_call(
    vendor: Vendor,
) -> None:
    clock = Clock()
    slow = ScriptedSource(clock)
    for version in ("first", "second"):
        slow.fails(TokenUnavailable("minting", retry_after=5))
        slow.fails(TokenUnavailable("minting", retry_after=5))
        slow.gives(version)
    client = timed(clock, slow, wait_seconds=99)

    with pytest.raises(TokenUnavailable):
        client.http.request("GET", f"{vendor.url}/whoami", wait_seconds=15)

    assert 10 < sum(clock.slept) <= 15


@pytest.mark.parametrize(
    ("carried", "hops"),
    [
        (True, []),
        (True, [("https://a.example/x", "https://A.Example:443/y")]),
        (True, [("https://a.example:443/x", "https://a.example/y")]),
        (True, [(None, None), ("https://a.example/x", "y")]),
        (True, [("https://a.example/x", "//a.example/y"), ("https://a.example/y", "?to=z")]),
        (False, [("https://a.example/x", "http://a.example/y")]),
        (False, [("https://a.example/x", "https://a.example:8443/y")]),
        (False, [("https://a.example/x", "//b.example/y")]),
        (False, [("https://a.example/x", "https://b.example\\@a.example/y")]),
        (
            False,
            [("https://a.example/x", "https://b.example/"), ("https://b.example/", "https://a.example/")],
        ),
    ],
)
def test_only_a_chain_that_stayed_on_the_origin_carried_the_token(
    hops: list[tuple[str | None, str | None]], *, carried: bool
) -> None:
    history = tuple(RequestHistory("GET", url, None, 302, location) for url, location in hops)
    response = urllib3.HTTPResponse(status=401, retries=urllib3.Retry(history=history))

    assert token_reached("https://a.example/x", response) is carried


@pytest.mark.parametrize(
    "url",
    [
        "http://personr.example/x",
        "http://127.0.0.1@personr.example/x",
        "http://127.0.0.1.evil.example/",
        "http://192.0.2.1\\@127.0.0.1/",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:99999/",
        "//127.0.0.1/x",
        "/x",
    ],
)
def test_a_token_goes_over_https_or_to_loopback_only(client: TokenClient, url: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        client.http.request("GET", url)


def test_an_authorization_of_the_callers_is_replaced_and_other_headers_stay(
    client: TokenClient, vendor: Vendor
) -> None:
    headers = HTTPHeaderDict({"authorization": "Basic bXk6b3du", "X-Tag": "one"})
    headers.add("X-Tag", "two")

    client.http.request("GET", f"{vendor.url}/whoami", headers=headers)

    assert vendor.authorizations == ["Bearer token-1"]
    assert vendor.tags == [["one", "two"]]
    assert dict(headers) == {"authorization": "Basic bXk6b3du", "X-Tag": "one, two"}, "the caller's own stay"


def test_an_unread_answer_is_healed_too(client: TokenClient, vendor: Vendor, source: FakeTokenSource) -> None:
    source.kill()

    answer = client.http.request("POST", f"{vendor.url}/create", body=BODY, preload_content=False)

    assert answer.read() == BODY
    answer.release_conn()
    assert len(vendor.connections) == 1, "the refused answer's connection is used again"


@pytest.mark.parametrize("is_own", [True, False])
def test_our_connections_are_opened_anew_after_a_long_pause_and_the_callers_kept(
    source: FakeTokenSource, vendor: Vendor, *, is_own: bool
) -> None:
    now = [time.time()]
    own = urllib3.PoolManager(headers={"User-Agent": "orders/1.0"}, timeout=5) if is_own else None
    client = timed_client(source, lambda: now[0], http_pool=own)
    for _ in range(3):
        client.http.request("GET", f"{vendor.url}/whoami")
    assert len(vendor.connections) == 1

    now[0] += 120  # frozen meanwhile
    client.http.request("GET", f"{vendor.url}/whoami")

    assert len(vendor.connections) == (1 if is_own else 2)
    assert vendor.seen[0].headers["user-agent"].startswith("orders/" if is_own else "token-client/")


def test_a_forked_child_has_connections_of_its_own(client: TokenClient, vendor: Vendor) -> None:
    http = client.http
    http.request("GET", f"{vendor.url}/whoami")

    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        os._exit(42 if http.request("GET", f"{vendor.url}/whoami").status == 200 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert http.request("GET", f"{vendor.url}/whoami").status == 200
    assert len(vendor.connections) == 2


@pytest.mark.parametrize("given", ["request", "pool"])
def test_retries_that_would_repeat_a_401_are_refused(
    source: FakeTokenSource, vendor: Vendor, given: str
) -> None:
    retries = urllib3.Retry(3, status_forcelist=[401, 503])
    pool = urllib3.PoolManager(retries=retries) if given == "pool" else None
    client = TokenClient(source=source, http_pool=pool)

    with pytest.raises(ConfigurationError, match="401 in status_forcelist"):
        client.http.request("GET", f"{vendor.url}/whoami", retries=retries)

    assert vendor.seen == []


def test_the_log_tells_of_fetch_refusal_and_repetition_and_shows_no_token(
    client: TokenClient, vendor: Vendor, source: FakeTokenSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="token_client")
    source.kill()

    client.http.request("GET", f"{vendor.url}/whoami")

    assert [record.getMessage() for record in caplog.records] == [
        "token version version-1 fetched",
        "the API refused token version version-1 (HTTP 401)",
        "token version version-1 reported as refused",
        "token version version-2 fetched",
        "request sent once more with token version version-2",
    ]


def test_frames_of_this_package_show_no_token_where_locals_are_captured(client: TokenClient) -> None:
    with pytest.raises(urllib3.exceptions.HTTPError) as caught:
        client.http.request("GET", "http://127.0.0.1:9/", headers={"X-Trace": "5"}, retries=False)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [(frame.filename, text) for frame in report.stack for text in (frame.locals or {}).values()]

    ours = [text for file, text in frames if "token_client/token_client" in file]
    assert len(ours) > 10
    assert [text for text in ours if "token-1" in text] == []
