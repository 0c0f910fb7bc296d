"""The two doors against servers that speak as Lambda and a Function URL do, and misbehave as they may."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, override

import botocore.session
import pytest

from tests.kit.runtime import FunctionUrl
from tests.kit.runtime.function_url import CALLER
from tests.kit.secrets_manager.server import REGION
from tests.kit.stand_ins.lambda_service import LambdaService
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response
from token_client import (
    CallerNotAllowed,
    ConfigurationError,
    InvalidRequest,
    TokenClient,
    TokenClientError,
    TokenUnavailable,
    UnexpectedAnswer,
    VendingUnavailable,
)
from token_client._direct import qualified
from token_client._http_door import checked_url, signing_scope
from token_client.testing import timed_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "bus|1700000000000x123|secret"
ANSWER: dict[str, Any] = {
    "access_token": SECRET,
    "token_type": "Bearer",
    "expires_in": 31_000_000,
    "expires_at": "2035-01-01T12:00:00Z",
    "version": "v1",
    "cache_seconds": 300,
}
NAME = "token-vending-vend"


@dataclass
class Outcome:
    """What the function came to."""

    payload: Any = None
    error: dict[str, Any] | None = None


@dataclass
class Function:
    """A vending function that answers the next requests as told, and well after that."""

    outcomes: list[Outcome] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)

    def run(self, event: Any, _request_id: str, _qualifier: str | None) -> Outcome:
        self.events.append(event)
        return self.outcomes.pop(0) if self.outcomes else Outcome(ANSWER)

    def fails(self, name: str, message: str, **more: Any) -> None:
        text = json.dumps({"error": name, "message": message, **more})
        self.outcomes.append(Outcome(error={"errorType": "Replaced", "errorMessage": text}))


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CALLER.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CALLER.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def function() -> Function:
    return Function()


@pytest.fixture
def service(function: Function, monkeypatch: pytest.MonkeyPatch) -> Iterator[LambdaService]:
    with LambdaService() as running:
        running.wire(NAME, function.run)
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", running.url)
        yield running


# --- direct invoke ----------------------------------------------------------------------------------------


def test_a_direct_invoke_goes_to_the_alias(service: LambdaService, function: Function) -> None:
    token = TokenClient(NAME).get()

    assert token.access_token() == SECRET
    assert [(call.function, call.qualifier) for call in service.invocations] == [(NAME, "live")]
    assert function.events == [{}]


def test_a_rejection_and_min_seconds_go_in_the_event(service: LambdaService, function: Function) -> None:
    client = TokenClient(NAME, min_seconds=600)
    client.get()
    function.outcomes.append(Outcome({**ANSWER, "version": "v2"}))

    client.reject("v1")

    assert function.events == [{"min_seconds": 600}, {"rejected_version": "v1", "min_seconds": 600}]
    assert client.get().version == "v2"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("TokenUnavailable", TokenUnavailable),
        ("CallerNotAllowed", CallerNotAllowed),
        ("InvalidRequest", InvalidRequest),
        ("ConfigurationError", ConfigurationError),
        ("StoreUnavailable", VendingUnavailable),
    ],
)
def test_the_functions_errors_come_by_name(
    service: LambdaService, function: Function, name: str, kind: type[TokenClientError]
) -> None:
    function.fails(name, "why", retry_after=60)

    with pytest.raises(kind, match=f"{name}: why") as caught:
        TokenClient(NAME).get(wait_seconds=0)

    assert caught.value.retry_after == 60


def test_an_answer_that_is_none_is_refused(service: LambdaService, function: Function) -> None:
    function.outcomes.append(Outcome({"hello": SECRET}))

    with pytest.raises(UnexpectedAnswer) as caught:
        TokenClient(NAME).get()

    assert str(caught.value).count(SECRET) == 0


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDeniedException", 403, CallerNotAllowed),
        ("TooManyRequestsException", 429, VendingUnavailable),
        ("ServiceException", 500, VendingUnavailable),
        ("EC2ThrottledException", 502, VendingUnavailable),
        ("ResourceNotFoundException", 404, ConfigurationError),
        ("UnrecognizedClientException", 403, ConfigurationError),
        ("ExpiredTokenException", 403, ConfigurationError),
        ("SnapStartTimeoutException", 408, ConfigurationError),
    ],
)
def test_lambdas_refusals_are_translated(
    service: LambdaService, code: str, status: int, kind: type[TokenClientError]
) -> None:
    service.refuse(code, status)

    with pytest.raises(kind):
        TokenClient(NAME).get(wait_seconds=0)


def test_lambda_out_of_reach_is_temporary(service: LambdaService) -> None:
    client = TokenClient(NAME)
    service.stop()

    with pytest.raises(VendingUnavailable, match="could not be reached"):
        client.get(wait_seconds=0)


def test_a_direct_caller_heals_when_lambda_comes_back(service: LambdaService) -> None:
    service.refuse("TooManyRequestsException", 429)
    client = TokenClient(NAME)
    with pytest.raises(VendingUnavailable):
        client.get(wait_seconds=0)
    service.allow()

    assert client.get().version == "v1"


def test_missing_aws_credentials_are_named_in_the_error(
    service: LambdaService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")

    with pytest.raises(ConfigurationError, match="credentials"):
        TokenClient(NAME).get()


def test_a_missing_region_is_named_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    with pytest.raises(ConfigurationError, match="region"):
        TokenClient(NAME).get()


def test_a_region_known_as_aws_region_only_will_do(
    service: LambdaService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    assert TokenClient(NAME).get().version == "v1"


def test_a_session_of_the_callers_signs(service: LambdaService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assumed = botocore.session.Session()
    assumed.set_credentials("ASIAASSUMED", "secret", "session")

    assert TokenClient(NAME, session=assumed).get().version == "v1"


@pytest.mark.parametrize(
    ("given", "invoked"),
    [
        ("vend", "vend:live"),
        ("vend:7", "vend:7"),
        ("111122223333:function:vend", "111122223333:function:vend:live"),
        ("111122223333:function:vend:live", "111122223333:function:vend:live"),
        ("arn:aws:lambda:eu-west-1:111122223333:function:vend", None),
        ("arn:aws-us-gov:lambda:us-gov-west-1:111122223333:function:vend:blue", None),
    ],
)
def test_the_alias_is_meant_where_no_qualifier_is_given(given: str, invoked: str | None) -> None:
    if invoked is None:
        invoked = given if given.endswith(":blue") else f"{given}:live"

    assert qualified(given) == invoked


# --- HTTP -------------------------------------------------------------------------------------------------


class Door(LoopbackServer):
    """Answers every request with the same thing."""

    def __init__(self, response: Response | None) -> None:
        super().__init__()
        self._response = response
        self.seen: list[Request] = []

    @override
    def handle(self, request: Request) -> Response | None:
        self.seen.append(request)
        if self._response is None:
            request.connection.reset()
        return self._response


@pytest.fixture
def http_function(function: Function) -> Function:
    function.outcomes.append(Outcome({"statusCode": 200, "body": json.dumps(ANSWER)}))
    return function


def test_the_url_is_asked_with_a_signature_that_holds(http_function: Function) -> None:
    with FunctionUrl(http_function.run) as url:
        token = TokenClient(url=f"{url.url}/", min_seconds=600).get()

    assert token.access_token() == SECRET
    (event,) = http_function.events
    assert event["rawPath"] == "/token"
    assert event["queryStringParameters"] == {"min_seconds": "600"}
    assert event["requestContext"]["authorizer"]["iam"]["userArn"] == CALLER.user_arn


def test_a_rejection_is_posted_with_a_signature_that_holds(http_function: Function) -> None:
    http_function.outcomes.append(
        Outcome({"statusCode": 200, "body": json.dumps({**ANSWER, "version": "v2"})})
    )
    with FunctionUrl(http_function.run) as url:
        client = TokenClient(url=url.url)
        client.get()
        client.reject("v1")

    event = http_function.events[-1]
    assert event["rawPath"] == "/token/rejections"
    assert event["requestContext"]["http"]["method"] == "POST"
    assert json.loads(event["body"]) == {"version": "v1"}
    assert client.get().version == "v2"


def test_an_http_api_is_signed_for_as_one(http_function: Function) -> None:
    with FunctionUrl(http_function.run, service="execute-api") as url:
        assert TokenClient(url=url.url, signing_service="execute-api").get().version == "v1"
        with pytest.raises(CallerNotAllowed, match="signature or permission"):
            TokenClient(url=url.url).get()


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (Response(302, b"", {"Location": "https://elsewhere.example/token"}), ConfigurationError),
        (Response(404, b"no"), ConfigurationError),
        (Response(502, b"<html>"), VendingUnavailable),
        (Response(200, b"<html>"), UnexpectedAnswer),
        (Response(200, b"{" + b" " * 70_000 + b"}"), UnexpectedAnswer),
        (Response(200, b"{", declared_length=400), VendingUnavailable),
        (None, VendingUnavailable),
    ],
    ids=["redirect", "not found", "bad gateway", "a page", "huge", "truncated", "reset"],
)
def test_a_door_that_is_not_ours_or_falls_over(
    response: Response | None, kind: type[TokenClientError]
) -> None:
    with Door(response) as door, pytest.raises(kind):
        TokenClient(url=door.url).get(wait_seconds=0)


def test_a_problem_document_says_when_to_come_back() -> None:
    body = {
        "type": "urn:x",
        "status": 503,
        "detail": "minting",
        "error": "TokenUnavailable",
        "retry_after": 60,
    }
    with Door(Response.of_json(body, 503, {"Retry-After": "60"})) as door:
        with pytest.raises(TokenUnavailable, match="minting") as caught:
            TokenClient(url=door.url).get()
        assert caught.value.retry_after == 60
        assert len(door.seen) == 1


def test_connections_are_opened_anew_after_a_freeze(http_function: Function) -> None:
    now = [time.time()]
    for _ in range(2):
        http_function.outcomes.append(Outcome({"statusCode": 200, "body": json.dumps(ANSWER)}))
    with FunctionUrl(http_function.run) as url:
        client = timed_client(None, lambda: now[0], url=url.url)
        client.get()
        before = set(url._started.open)
        now[0] += 3600
        client.get()
        after = set(url._started.open)

    assert before
    assert not before & after


@pytest.mark.parametrize(
    "url",
    [
        "http://abc.lambda-url.eu-west-1.on.aws",
        "http://192.0.2.1\\@127.0.0.1/",
        "http://@127.0.0.1/",
        "https://host\\@other",
        "abc.lambda-url.eu-west-1.on.aws",
        "https://",
        "https://user:pass@host",
        "https://host/?query=1",
        "https://host/#fragment",
        "https://host:port",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_a_url_that_could_give_a_token_away_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        checked_url(url)


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://abc.lambda-url.eu-west-1.on.aws/", "https://abc.lambda-url.eu-west-1.on.aws"),
        ("https://abc.execute-api.eu-west-1.amazonaws.com/prod/", None),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
    ],
)
def test_a_url_in_order_is_taken(url: str, checked: str | None) -> None:
    assert checked_url(url) == (checked or url.rstrip("/"))


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("abc.lambda-url.eu-west-1.on.aws", ("lambda", "eu-west-1")),
        ("ABC.Lambda-URL.eu-west-1.on.aws", ("lambda", "eu-west-1")),
        ("abc.execute-api.us-gov-west-1.amazonaws.com", ("execute-api", "us-gov-west-1")),
        ("abc.execute-api.cn-north-1.amazonaws.com.cn", ("execute-api", "cn-north-1")),
        ("tokens.example.com", (None, None)),
        ("lambda-url.eu-west-1.on.aws.example.com", (None, None)),
        ("127.0.0.1", (None, None)),
    ],
)
def test_the_host_tells_what_to_sign_for(host: str, scope: tuple[str | None, str | None]) -> None:
    assert signing_scope(host) == scope


def test_a_url_that_names_no_region_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    with pytest.raises(ConfigurationError, match="region"):
        TokenClient(url="https://tokens.example.com").get()


@pytest.mark.parametrize(
    "make",
    [lambda: TokenClient(NAME), lambda: TokenClient(url="http://127.0.0.1:9")],
    ids=["direct", "http"],
)
def test_making_a_client_reaches_for_nothing(make: Callable[[], TokenClient]) -> None:
    make()
