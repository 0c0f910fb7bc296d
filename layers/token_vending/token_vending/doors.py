"""The two doors of the hand-out: direct invoke of the alias `live`, and HTTP through the alias `url`.

A door reads the request, calls the use case once, shapes the reply and leaves one audit event. HTTP:
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads (a Function URL and an HTTP API
send the same). Errors over HTTP are problem documents (RFC 9457); over direct invoke they are raised.
"""

import base64
import json
from collections.abc import Callable, Mapping
from copy import replace
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
_METHODS = {"/token": "GET", "/token/rejections": "POST"}


def is_url(invoked_function_arn: str) -> bool:
    """Whether the alias `url` was invoked. Lambda writes the ARN, the caller the event: only the ARN decides.

    `arn:aws:lambda:<region>:<account>:function:<name>:<alias>`
    """
    return invoked_function_arn.split(":")[7:] == ["url"]


def direct(event: object, desk: HandOutDesk, record: Record) -> dict[str, str | int]:
    """The hand-out for `{"rejected_version", "min_seconds"}`. Raises with a JSON text: see errors."""
    audit = AuditEvent(Door.DIRECT, Outcome.HANDED_OUT)
    try:
        if isinstance(event, dict) and "requestContext" in event:
            raise InvalidRequest("This alias takes direct requests. HTTP comes in through the alias url.")
        request = VendRequest.parse(event)
        audit = replace(audit, rejected_version=request.rejected_version)
        given = desk.hand_out(request)
    except TokenVendingError as error:
        record(_failed(audit, error))
        raise error.on_the_wire() from None
    record(_succeeded(audit, given))
    return given.answer()


def http(event: object, desk: HandOutDesk, allowed: AllowedCallers, record: Record) -> Response:
    """The response to `GET /token` and `POST /token/rejections`.

    Raises an error of ours only for an event that no URL sends: it was invoked directly.
    """
    try:
        request = _HttpRequest.read(event)
    except (LookupError, TypeError, AttributeError):
        error = InvalidRequest("The alias url takes HTTP requests. Invoke the alias live.")
        record(_failed(AuditEvent(Door.HTTP, Outcome.INVALID), error))
        raise error.on_the_wire() from None
    audit = AuditEvent(Door.HTTP, Outcome.HANDED_OUT, caller=request.caller)
    try:
        if not allowed.allow(request.caller):
            raise CallerNotAllowed(
                f"{request.caller or 'A caller without an IAM identity'} matches no pattern of AllowedCallers."
            )
        wanted = request.parse()
        audit = replace(audit, rejected_version=wanted.rejected_version)
        given = desk.hand_out(wanted)
    except _NoSuchRoute as missing:
        record(_failed(audit, missing.problem))
        return _problem(missing.problem, missing.status, missing.headers)
    except TokenVendingError as error:
        record(_failed(audit, error))
        return _problem(error, _STATUS.get(type(error), 500), {})
    headers = {"Cache-Control": "no-store", "ETag": f'"{given.token.version}"'}
    if request.knows(given.token.version):
        record(replace(_succeeded(audit, given), outcome=Outcome.NOT_MODIFIED))
        return {"statusCode": 304, "headers": headers}
    record(_succeeded(audit, given))
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
    caller: str | None
    query: Mapping[str, str]
    if_none_match: str
    body: str | None
    is_base64: bool

    @classmethod
    def read(cls, event: Any) -> "_HttpRequest":  # noqa: ANN401
        """Raises LookupError, TypeError or AttributeError for what is not in payload format 2.0."""
        context = event["requestContext"]
        path, stage = event["rawPath"], context["stage"]
        if stage != "$default":
            # An HTTP API with a named stage puts it before the path.
            path = path.removeprefix(f"/{stage}")
        # Identity comes from the authorizer that AWS fills in, never from a header that a caller can write.
        iam = (context.get("authorizer") or {}).get("iam") or {}
        read = cls(
            method=context["http"]["method"],
            path=path,
            caller=iam.get("userArn"),
            query=event.get("queryStringParameters") or {},
            if_none_match=event["headers"].get("if-none-match", ""),
            body=event.get("body"),
            is_base64=event["isBase64Encoded"],
        )
        texts = [read.method, path, read.if_none_match, *read.query.values()]
        texts += [text for text in (read.caller, read.body) if text is not None]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError
        return read

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
            return parse_rejection(self._text())
        seconds = self.query.get("min_seconds")
        return VendRequest() if seconds is None else VendRequest(min_seconds=parse_min_seconds(seconds))

    def knows(self, version: str) -> bool:
        """If-None-Match (RFC 9110 §13.1.2): a list of entity tags, weak ones too, or a star. GET only."""
        if self.method != "GET":
            return False
        tags = [tag.strip().removeprefix("W/") for tag in self.if_none_match.split(",")]
        return f'"{version}"' in tags or self.if_none_match.strip() == "*"

    def _text(self) -> str:
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


def _succeeded(audit: AuditEvent, given: HandOut) -> AuditEvent:
    return replace(
        audit,
        version=given.token.version,
        fingerprint=given.token.fingerprint,
        cache_hit=given.cache_hit,
        warning=given.warning,
    )


def _failed(audit: AuditEvent, error: TokenVendingError) -> AuditEvent:
    outcome = _OUTCOME.get(type(error), Outcome.UNAVAILABLE)
    return replace(audit, outcome=outcome, error=type(error).__name__, detail=error.detail)


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
