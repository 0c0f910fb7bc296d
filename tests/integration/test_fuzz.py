"""Whatever is sent: a documented error or an answer, no secret in an error, no mint that was not due.

The two `app.py` run in this process, against the stand-ins over loopback.
"""

import importlib.util
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from tests.integration.test_access import LISTED, http_event, session
from tests.integration.world import Stage
from tests.kit.personr import API_PATH, DEFAULT_EMAIL, DEFAULT_PASSWORD
from tests.kit.runtime.artefacts import ROOT
from tests.kit.stand_ins.raw import RawServer
from token_vending.adapters.exchange import MAX_BODY, Answer
from token_vending.adapters.issuer import DescribedIssuer
from token_vending.adapters.login_request import basic_authorization
from token_vending.credentials import Credentials
from token_vending.errors import ConfigurationError, InvalidRequest, MintError, TokenVendingError
from token_vending.issuers import load as load_issuer
from token_vending.ports import Minted

LIMIT = 6 * 1024 * 1024
"""Bytes of a synchronous invocation payload: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
HTTP_STATUSES = {200, 304, 400, 403, 404, 405, 503}
FUZZ = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])


class Context:
    """What the runtime passes beside the event."""

    aws_request_id = "22222222-3333-4444-8555-666666666666"
    function_name = "fuzzed"

    def __init__(self, alias: str = "live") -> None:
        self.invoked_function_arn = f"arn:aws:lambda:eu-west-1:111122223333:function:fuzzed:{alias}"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


@dataclass(frozen=True)
class Functions:
    """Both functions in this process, and the world around them."""

    world: Stage
    refresh: ModuleType
    vend: ModuleType


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzzed_{name}", ROOT / "functions" / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def functions() -> Iterator[Functions]:
    with Stage() as world, redirect_stdout(io.StringIO()) as output:
        variables = {
            name: value
            for function in (world.refresh, world.vend)
            for name, value in function.environment.items()
            if name not in ("PATH", "LANG", "TZ")
        }
        with mock.patch.dict(os.environ, variables):
            made = Functions(world, load("refresh"), load("vend"))
            made.refresh.handler({}, Context())
            yield made
    assert not [number for number, text in enumerate(world.secret_texts()) if text in output.getvalue()]


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["AWSCURRENT", "<aws.scheduler.execution-id>", "x" * 257, "2026-01-01T00:00:00Z"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
refresh_fields = st.sampled_from(
    ["id", "scheduled_time", "force", "rejected_version", "source", "detail-type"]
)
vend_fields = st.sampled_from(["rejected_version", "min_seconds", "requestContext", "version"])


def some(fields: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(fields | st.text(max_size=10), scalars | anything, max_size=4)


def call(functions: Functions, handler: Any, event: Any, alias: str = "live") -> Any:
    """The answer, or the error if it is one of ours and shows no secret. Any other exception goes through."""
    try:
        return handler(json.loads(json.dumps(event)), Context(alias))
    except TokenVendingError as error:
        caught = error
    message = str(caught)
    assert json.loads(message)["error"] == type(caught).__name__
    assert not any(secret in message for secret in functions.world.secret_texts())
    assert len(message) < 2_000
    return caught


@FUZZ
@given(event=anything | some(refresh_fields))
@example(event={"rejected_version": "<current>"})
@example(event={"force": 1})
@example(event={"force": True, "id": ""})
@example(event={"force": "true"})
def test_any_refresh_event_is_served_or_refused_and_mints_only_when_due(
    functions: Functions, event: Any
) -> None:
    version = functions.world.version
    if isinstance(event, dict) and event.get("rejected_version") == "<current>":
        event = {**event, "rejected_version": version}  # as young as it is
    mints = functions.world.vendor.mint_count()
    result = call(functions, functions.refresh.handler, event)
    minted = functions.world.vendor.mint_count() - mints
    if isinstance(result, TokenVendingError):
        assert type(result) is InvalidRequest
        assert minted == 0
    else:
        assert set(result) == {"outcome", "version", "expires_at", "reason"}
        due = isinstance(event, dict) and event.get("force") is True and "rejected_version" not in event
        assert minted == (1 if due and result["outcome"] == "refreshed" else 0)
    assert functions.world.holds()


@FUZZ
@given(event=anything | some(vend_fields))
def test_any_direct_request_is_served_or_refused(functions: Functions, event: Any) -> None:
    functions.world.lambda_service.forget()
    result = call(functions, functions.vend.handler, event)
    if isinstance(result, TokenVendingError):
        assert type(result) is InvalidRequest
    else:
        assert functions.world.vendor.is_live(result["access_token"])
    # None of these names the current version, so none may start a refresh.
    assert functions.world.lambda_service.invocations == []


method = st.sampled_from(["GET", "POST", "PUT", "HEAD", "get", "TRACE", ""]) | st.text(max_size=8)
path = (
    st.sampled_from(["/token", "/token/", "/token/rejections", "//token", "/%74oken", "/token?x"]) | st.text()
)
arns = st.sampled_from([LISTED, session(), session(role="x"), None]) | st.text()
headers = st.dictionaries(
    st.sampled_from(["if-none-match", "If-None-Match", "content-type", "host", "x-forwarded-for"])
    | st.text(),
    st.sampled_from(["*", 'W/"x"', '"a", "b"']) | st.text(),
    max_size=4,
)
query = st.dictionaries(
    st.sampled_from(["min_seconds", "version"]) | st.text(max_size=10),
    st.sampled_from(["0", "-1", "60", "٣", "1e3", "9" * 30, " 1"]) | st.text(),
    max_size=3,
)
bodies = (
    st.text()
    | anything.map(json.dumps)
    | st.binary(max_size=200).map(lambda data: data.hex())
    | st.sampled_from(['{"version": "x"}', "eyJ2ZXJzaW9uIjogIngifQ==", "[" * 3_000, "", '{"version": null}'])
)


@st.composite
def http_events(draw: st.DrawFn) -> dict[str, Any]:
    """What AWS makes of any request: the caller chooses texts, not types."""
    event = http_event(draw(arns), rawPath=draw(path), headers=draw(headers))
    event["requestContext"]["http"] = {"method": draw(method), "path": draw(path)}
    for name, strategy in (("queryStringParameters", query), ("body", bodies)):
        if draw(st.booleans()):
            event[name] = draw(strategy)
    event["isBase64Encoded"] = draw(st.booleans())
    return event


@FUZZ
@given(event=http_events())
def test_any_http_request_gets_a_response(functions: Functions, event: dict[str, Any]) -> None:
    functions.world.lambda_service.forget()
    response = call(functions, functions.vend.handler, event, "url")
    assert response["statusCode"] in HTTP_STATUSES
    assert all(isinstance(value, str) and "\n" not in value for value in response["headers"].values())
    arn = event["requestContext"].get("authorizer", {}).get("iam", {}).get("userArn")
    if response["statusCode"] != 403:
        assert arn in (LISTED, session())
    if response["statusCode"] == 200:
        assert functions.world.vendor.is_live(json.loads(response["body"])["access_token"])
    elif response["statusCode"] != 304:
        assert json.loads(response["body"])["status"] == response["statusCode"]
        assert not any(secret in response["body"] for secret in functions.world.secret_texts())
    assert functions.world.lambda_service.invocations == []


HUGE: dict[str, Any] = {
    "a text": "x" * LIMIT,
    "a field's value": {"rejected_version": "x" * LIMIT},
    "a field's name": {"x" * LIMIT: 1},
    "many fields": {f"field-{number}": number for number in range(200_000)},
    "a list": list(range(500_000)),
    "nested": json.loads('{"a":' * 900 + "1" + "}" * 900),
    "an id": {"id": "x" * LIMIT},
    "a number": {"min_seconds": 10**4_000},
    "an HTTP body": http_event(session(), body="x" * LIMIT, rawPath="/token/rejections"),
    "an HTTP path": http_event(session(), rawPath="/" * LIMIT),
    "an HTTP header": http_event(session(), headers={"if-none-match": '"x",' * (LIMIT // 4)}),
    "an HTTP query": http_event(session(), queryStringParameters={"min_seconds": "9" * LIMIT}),
}


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("function", ["refresh", "vend"])
def test_the_largest_events_are_refused_or_served(functions: Functions, function: str, name: str) -> None:
    mints = functions.world.vendor.mint_count()
    alias = "url" if "HTTP" in name else "live"
    result = call(functions, getattr(functions, function).handler, HUGE[name], alias)
    if not isinstance(result, InvalidRequest):
        assert result["statusCode"] in HTTP_STATUSES
        assert len(json.dumps(result)) < 3_000
    assert functions.world.vendor.mint_count() == mints


# --- the vendor's answer ------------------------------------------------------------------------------------------

CREDENTIALS = Credentials("v", {"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD})
PERSONR = load_issuer("personr")
ISSUER = DescribedIssuer(PERSONR)
BASIC = basic_authorization(PERSONR, CREDENTIALS.fields).removeprefix("Basic ")
numbers = st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from(["31536000", "٣", "1e9", "0"])
successes = st.fixed_dictionaries(
    {
        "status": anything,
        "response": anything | st.fixed_dictionaries({"token": anything, "expires": numbers}),
    }
)
refusals = st.fixed_dictionaries(
    {
        "reason": anything
        | st.sampled_from(["INVALID_LOGIN_CREDENTIALS", DEFAULT_PASSWORD, DEFAULT_EMAIL, BASIC, "A" * 70]),
        "message": st.sampled_from([DEFAULT_PASSWORD, f"{DEFAULT_EMAIL}:{DEFAULT_PASSWORD}", BASIC]),
    }
)
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
vendor_bodies = (
    st.binary(max_size=400)
    | st.builds(
        lambda value, encoding: json.dumps(value).encode(encoding), successes | refusals | anything, encodings
    )
    | st.sampled_from(
        [
            b"[" * 30_000,
            b'{"response":' * 5_000 + b"}" * 5_000,
            b'{"response":{"token":"t","expires":' + b"9" * 20_000 + b"}}",
            b'{"response":{"token":"t","expires":1e999}}',
            b'{"response":{"token":"t","expires":-Infinity}}',
            b'{"response":{"token":"t","expires":NaN}}',
            b'{"response":{"token":"\\ud800"}}',
            b'{"response":{"token":"t"}}' + b" " * MAX_BODY,
            b"\x00" * 100,
            b"\xef\xbb\xbf{}",
            b"",
        ]
    )
)
answer_headers = st.dictionaries(
    st.sampled_from(["Retry-After", "Location", "Content-Type"]),
    st.sampled_from(
        ["1", "-1", "9" * 40, "Wed, 21 Oct 2015 07:28:00 GMT", "//", "https://[", "https://u:p@h/"]
    )
    | st.text(max_size=40),
)


def minted_or_error(mint: Callable[[], Minted]) -> Minted | TokenVendingError:
    """What was minted, or the error if it is a documented one that shows nothing. Others go through."""
    try:
        return mint()
    except (MintError, ConfigurationError) as error:
        caught = error
    assert not any(secret in caught.detail for secret in (DEFAULT_EMAIL, DEFAULT_PASSWORD, BASIC))
    assert len(caught.detail) < 600
    assert caught.detail.isprintable()
    assert caught.retry_after is None or caught.retry_after >= 0
    return caught


@settings(max_examples=1_000)
@given(
    status=st.integers(100, 599) | st.sampled_from([200, 201, 302, 400, 401, 429, 503]),
    headers=answer_headers,
    body=vendor_bodies,
)
def test_any_answer_of_the_vendor_is_a_token_or_a_documented_error(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    minted = minted_or_error(lambda: ISSUER.read(Answer(status, HTTPHeaderDict(headers), body), CREDENTIALS))
    if not isinstance(minted, Minted):
        return
    assert 200 <= status < 300
    assert minted.access_token.strip()
    assert minted.access_token not in repr(minted) or len(minted.access_token) < 20
    assert timedelta(0) < minted.lifetime <= timedelta(days=3660)


@pytest.fixture(scope="module")
def raw() -> Iterator[RawServer]:
    with RawServer() as server:
        yield server


lines = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 400 \r\n",
        b"HTTP/1.1 999 x\r\n",
        b"HTTP/9.9 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999\r\n",
        b"Content-Length: x\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Content-Encoding: deflate, br\r\n",
        b"Set-Cookie: a\x00b\r\n",
        b"X: " + b"y" * 70_000 + b"\r\n",
        b"\r\n",
        b"ffffffffffffffff\r\n",
        b'{"response":{"token":"t","expires":1}}',
        b"\x1f\x8b\x08\x00",
    ]
)


@settings(max_examples=200)
@given(reply=st.lists(lines | st.binary(max_size=40), max_size=8).map(b"".join))
@example(reply=b"HTTP/1.1 200 OK\r\nA: b\r\n" * 2_000 + b"\r\n")
@example(reply=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
def test_any_bytes_on_the_vendors_wire_are_a_token_or_a_documented_error(
    raw: RawServer, reply: bytes
) -> None:
    raw.reply = reply
    minted_or_error(
        lambda: DescribedIssuer(PERSONR, f"http://{raw.address}{API_PATH}").mint(CREDENTIALS, timeout=2.0)
    )
