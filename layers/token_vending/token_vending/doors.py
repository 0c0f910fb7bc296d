"""The two doors of the hand-out: direct invoke of the alias `live`, and HTTP through the alias `url`.

A door reads the request, calls the use case once, shapes the reply and leaves one audit event. HTTP:
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads (a Function URL and an HTTP API
send the same). Errors over HTTP are problem documents (RFC 9457); over direct invoke they are raised.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from token_vending.audit import AuditEvent, Door, Outcome
from token_vending.callers import AllowedCallers
from token_vending.errors import (
    CallerNotAllowed,
    InvalidRequest,
    StoreUnavailable,
    TokenUnavailable,
    TokenVendingError,
)
from token_vending.handing_out import HandOut, HandOutDesk
from token_vending.requests import VendRequest, parse_min_seconds, parse_rejection, show_name

type Record = Callable[[AuditEvent], None]
type Response = dict[str, Any]

_ARN = r"arn:[a-z-]{1,32}:(iam|sts)::\d{12}:[\w+=,.@/-]{1,1024}"
MAX_BODY = 4096
"""Characters. A rejection has about 60."""

_STATUS: dict[type[TokenVendingError], int] = {
    InvalidRequest: 400,
    CallerNotAllowed: 403,
    TokenUnavailable: 503,
    StoreUnavailable: 503,
}
_OUTCOME: dict[type[TokenVendingError], Outcome] = {
    InvalidRequest: Outcome.INVALID,
    CallerNotAllowed: Outcome.DENIED,
}
_NOTHING_ASKED = VendRequest()
_METHODS = {"/token": "GET", "/token/rejections": "POST"}


def is_url(invoked_function_arn: str) -> bool:
    """Whether the alias `url` was invoked. Lambda writes the ARN, the caller the event: only the ARN decides.

    `arn:aws:lambda:<region>:<account>:function:<name>:<alias>`
    """
    return invoked_function_arn.split(":")[7:] == ["url"]


def direct(event: object, desk: HandOutDesk, record: Record) -> dict[str, str | int]:
    """The hand-out for `{"rejected_version", "min_seconds"}`. Raises with a JSON text: see errors."""
    request = _NOTHING_ASKED
    try:
        if isinstance(event, dict) and "requestContext" in event:
            raise InvalidRequest("This alias takes direct requests. HTTP comes in through the alias url.")
        request = VendRequest.parse(event)
        given = desk.hand_out(request)
    except TokenVendingError as error:
        record(_failed(Door.DIRECT, None, request, error))
        raise error.on_the_wire() from None
    record(_succeeded(Door.DIRECT, None, request, given, Outcome.HANDED_OUT))
    return given.answer()


def http(event: object, desk: HandOutDesk, allowed: AllowedCallers, record: Record) -> Response:
    """The response to `GET /token` and `POST /token/rejections`.

    Raises an error of ours only for an event that no URL sends: it was invoked directly.
    """
    try:
        request = _HttpRequest.read(event)
    except InvalidRequest as error:
        record(_failed(Door.HTTP, None, _NOTHING_ASKED, error))
        raise error.on_the_wire() from None
    caller: str | None = request.caller
    wanted = _NOTHING_ASKED
    try:
        if not allowed.allow(caller):
            # Who may invoke the alias directly can write anything here: only what has the shape of an ARN gets on.
            caller = caller if re.fullmatch(_ARN, request.caller, re.ASCII) else None
            raise CallerNotAllowed(
                f"{caller or 'A caller without an IAM identity'} matches no pattern of AllowedCallers."
            )
        wanted = request.parse()
        given = desk.hand_out(wanted)
    except _NoSuchRoute as missing:
        record(_failed(Door.HTTP, caller, wanted, missing.problem))
        return _problem(missing.problem, missing.status, missing.headers)
    except TokenVendingError as error:
        record(_failed(Door.HTTP, caller, wanted, error))
        return _problem(error, _STATUS.get(type(error), 500), {})
    headers = {"Cache-Control": "no-store", "ETag": f'"{given.token.version}"'}
    if request.knows(given.token.version):
        record(_succeeded(Door.HTTP, caller, wanted, given, Outcome.NOT_MODIFIED))
        return {"statusCode": 304, "headers": headers}
    record(_succeeded(Door.HTTP, caller, wanted, given, Outcome.HANDED_OUT))
    headers["Content-Type"] = "application/json"
    return {
        "statusCode": 200,
        "headers": headers,
        "body": json.dumps(given.answer()),
        "isBase64Encoded": False,
    }


class _NoSuchRoute(Exception):
    def __init__(self, status: int, detail: str, headers: dict[str, str]) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = InvalidRequest(detail)
        self.headers = headers


class _HttpRequest(NamedTuple):
    method: str
    path: str
    caller: str
    query: Mapping[str, Any]
    if_none_match: str
    body: str
    is_base64: bool

    @classmethod
    def read(cls, event: object) -> "_HttpRequest":
        """Takes the few fields needed; what has another type than documented counts as absent. Raises InvalidRequest
        for what no URL sends.
        """
        fields = _mapping(event)
        context = _mapping(fields.get("requestContext"))
        method = _mapping(context.get("http")).get("method")
        if not isinstance(method, str):
            raise InvalidRequest("The alias url takes HTTP requests. Invoke the alias live.")
        stage = _text(context.get("stage"))
        path = _text(fields.get("rawPath"))
        if stage not in ("", "$default"):
            # An HTTP API with a named stage puts it before the path.
            path = path.removeprefix(f"/{stage}")
        # Identity comes from the authorizer that AWS fills in, never from a header that a caller can write.
        iam = _mapping(_mapping(context.get("authorizer")).get("iam"))
        headers = {str(name).lower(): value for name, value in _mapping(fields.get("headers")).items()}
        return cls(
            method=method,
            path=path,
            caller=_text(iam.get("userArn")),
            query=_mapping(fields.get("queryStringParameters")),
            if_none_match=_text(headers.get("if-none-match")),
            body=_text(fields.get("body")),
            is_base64=fields.get("isBase64Encoded") is True,
        )

    def parse(self) -> VendRequest:
        """Raises InvalidRequest and _NoSuchRoute."""
        method = _METHODS.get(self.path)
        if method is None:
            raise _NoSuchRoute(404, f"There is no such path. Known: {', '.join(_METHODS)}.", {})
        if self.method != method:
            raise _NoSuchRoute(405, f"{self.path} takes {method} only.", {"Allow": method})
        known = {"min_seconds"} if method == "GET" else set()
        for name in self.query:
            if name not in known:
                raise InvalidRequest(f"Unknown query parameter {show_name(name)}.")
        if method == "POST":
            return parse_rejection(self._content())
        seconds = self.query.get("min_seconds")
        return VendRequest() if seconds is None else VendRequest(min_seconds=parse_min_seconds(str(seconds)))

    def knows(self, version: str) -> bool:
        """If-None-Match (RFC 9110 §13.1.2): a list of entity tags, weak ones too, or a star. GET only."""
        if self.method != "GET" or not self.if_none_match:
            return False
        tags = [tag.strip().removeprefix("W/") for tag in self.if_none_match.split(",")]
        return f'"{version}"' in tags or self.if_none_match.strip() == "*"

    def _content(self) -> str:
        body = self.body
        if not body:
            raise InvalidRequest('The body is missing. Send {"version": "<the version you were given>"}.')
        if len(body) > MAX_BODY:
            raise InvalidRequest(f"The body is longer than {MAX_BODY} characters.")
        if not self.is_base64:
            return body
        try:
            return base64.b64decode(body, validate=True).decode("utf-8")
        except ValueError:
            raise InvalidRequest("The body is not base64 of UTF-8 text.") from None


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _succeeded(
    door: Door, caller: str | None, request: VendRequest, given: HandOut, outcome: Outcome
) -> AuditEvent:
    return AuditEvent(
        door,
        outcome,
        caller,
        version=given.token.version,
        fingerprint=given.token.fingerprint,
        rejected_version=request.rejected_version,
        cache_hit=given.cache_hit,
        warning=given.warning,
    )


def _failed(door: Door, caller: str | None, request: VendRequest, error: TokenVendingError) -> AuditEvent:
    return AuditEvent(
        door,
        _OUTCOME.get(type(error), Outcome.UNAVAILABLE),
        caller,
        rejected_version=request.rejected_version,
        error=type(error).__name__,
        detail=error.detail,
    )


def _problem(error: TokenVendingError, status: int, headers: Mapping[str, str]) -> Response:
    name = type(error).__name__
    document: dict[str, str | int] = {
        "type": f"urn:token-vending:error:{name}",
        "title": name,
        "status": status,
        "detail": error.detail,
        "error": name,
    }
    sent = {"Content-Type": "application/problem+json", "Cache-Control": "no-store", **headers}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        retry_after = 5 if error.retry_after is None else error.retry_after
        document["retry_after"] = retry_after
        sent["Retry-After"] = str(retry_after)
    return {"statusCode": status, "headers": sent, "body": json.dumps(document), "isBase64Encoded": False}
