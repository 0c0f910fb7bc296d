"""The two doors against servers that speak as Lambda and a Function URL do, and misbehave as they may."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, override

import botocore.session
import pytest

from tests.kit.runtime import FunctionUrl
from tests.kit.stand_ins.lambda_service import LambdaService
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response
from token_client import (
    CallerNotAllowed,
    ConfigurationError,
    TokenClient,
    TokenClientError,
    UnexpectedAnswer,
    VendingUnavailable,
    _aws,
)
from token_client._direct import qualified
from token_client._http_door import checked_url, signing_scope

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

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


@pytest.fixture
def function() -> Function:
    return Function()


@pytest.fixture
def service(function: Function, monkeypatch: pytest.MonkeyPatch) -> Iterator[LambdaService]:
    with LambdaService() as running:
        running.wire(NAME, function.run)
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", running.url)
        yield running


def test_a_direct_invoke_goes_to_the_alias_with_a_rejection_and_min_seconds_in_its_event(
    service: LambdaService, function: Function
) -> None:
    client = TokenClient(NAME, min_seconds=600)
    assert client.get().access_token() == SECRET
    function.outcomes.append(Outcome({**ANSWER, "version": "v2"}))

    client.reject("v1")

    assert function.events == [{"min_seconds": 600}, {"rejected_version": "v1", "min_seconds": 600}]
    assert {(call.function, call.qualifier) for call in service.invocations} == {(NAME, "live")}
    assert client.get().version == "v2"


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


def test_missing_aws_credentials_are_named_in_the_error(
    service: LambdaService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")

    with pytest.raises(ConfigurationError, match="credentials"):
        TokenClient(NAME).get()


@pytest.mark.usefixtures("service")
def test_a_region_known_as_aws_region_will_do_and_none_is_named_in_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert TokenClient(NAME).get().version == "v1"
    monkeypatch.delenv("AWS_REGION")
    _aws.shared.start_over()

    for where in (NAME, None):
        client = TokenClient(where) if where else TokenClient(url="https://tokens.example.com")
        with pytest.raises(ConfigurationError, match="region"):
            client.get()


def test_a_session_of_the_callers_signs(service: LambdaService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assumed = botocore.session.Session()
    assumed.set_credentials("ASIAASSUMED", "secret", "session")

    assert TokenClient(NAME, session=assumed).get().version == "v1"


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ("vend", ":live"),
        ("vend:7", ""),
        ("111122223333:function:vend", ":live"),
        ("111122223333:function:vend:live", ""),
        ("arn:aws:lambda:eu-west-1:111122223333:function:vend", ":live"),
        ("arn:aws-us-gov:lambda:us-gov-west-1:111122223333:function:vend:blue", ""),
    ],
)
def test_the_alias_is_meant_where_no_qualifier_is_given(given: str, added: str) -> None:
    assert qualified(given) == given + added


def http(payload: dict[str, Any], status: int = 200, **headers: str) -> Outcome:
    return Outcome({"statusCode": status, "body": json.dumps(payload), "headers": headers})


class Door(LoopbackServer):
    """Gives these answers in order, and the last one for good; None is a connection that breaks."""

    def __init__(self, *responses: Response | None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self._responses = list(responses)
        self.seen: list[Request] = []

    @override
    def handle(self, request: Request) -> Response | None:
        self.seen.append(request)
        response = self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]
        if response is None:
            request.connection.reset()
        return response


def test_an_http_api_is_signed_for_as_one(function: Function) -> None:
    function.outcomes.append(http(ANSWER))
    with FunctionUrl(function.run, service="execute-api") as url:
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
    "url",
    ["https://abc.execute-api.eu-west-1.amazonaws.com/prod/", "http://[::1]:8000/", "http://localhost:8000"],
)
def test_a_url_in_order_is_taken(url: str) -> None:
    assert checked_url(url) == url.rstrip("/")


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
