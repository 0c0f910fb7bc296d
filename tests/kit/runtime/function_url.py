"""A Lambda Function URL with AuthType AWS_IAM in front of a function: SigV4 is verified, payload format 2.0
spoken.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html (event and answer),
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html (signature).
"""

import base64
import datetime as dt
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, override
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.kit.secrets_manager.server import ACCOUNT_ID, REGION
from tests.kit.stand_ins.lambda_service import Function
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/"
    r"aws4_request, ?SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
EXAMPLE = Path(__file__).resolve().parents[3] / "events" / "http-vend.json"
MAX_SKEW = dt.timedelta(minutes=5)
TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")


@dataclass(frozen=True)
class Principal:
    """Somebody who can sign: the key pair, and the identity that Lambda derives from it."""

    access_key: str
    secret_key: str
    user_arn: str
    allowed: bool = True
    """Whether IAM would let it invoke the URL."""

    @property
    def account_id(self) -> str:
        return self.user_arn.split(":")[4]


CALLER = Principal(
    "AKIACALLER0000000000",
    "caller-secret-key",
    f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/orders-service/i-0123456789abcdef0",
)
"""A caller by default: a role session, as a Lambda function or an instance has it."""


class FunctionUrl(LoopbackServer):
    """The URL on the alias `url`. ``run`` is called as Lambda's API calls it (``LambdaFunction.run`` fits)."""

    def __init__(
        self,
        run: Function,
        principals: Iterable[Principal] = (CALLER,),
        *,
        service: str = "lambda",
    ) -> None:
        super().__init__()
        self._run = run
        self._service = service
        self._principals = {principal.access_key: principal for principal in principals}
        self.events: list[dict[str, Any]] = []

    @override
    def handle(self, request: Request) -> Response | None:
        principal = self._authenticate(request)
        if principal is None or not principal.allowed:
            return Response.of_json(
                {"Message": "Forbidden"}, 403, {"x-amzn-ErrorType": "AccessDeniedException"}
            )
        event = http_event(request, principal)
        self.events.append(event)
        outcome = self._run(event, event["requestContext"]["requestId"], "url")
        if outcome.error is not None:
            return Response(502, b"Internal Server Error", {"Content-Type": "text/plain"})
        return http_response(outcome.payload)

    def _authenticate(self, request: Request) -> Principal | None:
        match = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if match is None or match["service"] != self._service or match["region"] != REGION:
            return None
        principal = self._principals.get(match["key"])
        if principal is None or not _is_recent(request.headers.get("x-amz-date", "")):
            return None
        signed = match["headers"].split(";")
        declared = request.headers.get("x-amz-content-sha256")
        of_body = hashlib.sha256(request.body).hexdigest()
        if "host" not in signed or declared not in (None, "UNSIGNED-PAYLOAD", of_body):
            return None
        right = hmac.compare_digest(_signature(request, principal, match), match["signature"])
        return principal if right else None


def _is_recent(stamp: str) -> bool:
    try:
        then = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        return False
    return abs(dt.datetime.now(dt.UTC) - then) <= MAX_SKEW


def _signature(request: Request, principal: Principal, match: re.Match[str]) -> str:
    """Compute the signature that the request should carry, with botocore's own signer."""
    signer = SigV4Auth(
        Credentials(principal.access_key, principal.secret_key), match["service"], match["region"]
    )
    headers = {name: request.headers.get(name, "") for name in match["headers"].split(";")}
    parts = urlsplit(request.target)
    rebuilt = AWSRequest(
        request.method,
        f"http://{request.headers['host']}{parts.path}",
        headers=headers,
        data=request.body,
        params=dict(parse_qsl(parts.query, keep_blank_values=True)),
    )
    rebuilt.context["timestamp"] = request.headers["x-amz-date"]
    canonical = signer.canonical_request(rebuilt)
    return str(signer.signature(signer.string_to_sign(rebuilt, canonical), rebuilt))


def http_event(request: Request, principal: Principal = CALLER) -> dict[str, Any]:
    parts = urlsplit(request.target)
    is_text = not request.body or request.headers.get("content-type", "").startswith(TEXT_TYPES)
    event: dict[str, Any] = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    event |= {
        "rawPath": parts.path or "/",
        "rawQueryString": parts.query,
        "headers": dict(request.headers),
        "isBase64Encoded": not is_text,
        "queryStringParameters": {name: ",".join(values) for name, values in request.query.items()},
    }
    context = event["requestContext"]
    context["requestId"] = str(uuid.uuid4())
    context["http"] |= {"method": request.method, "path": event["rawPath"]}
    context["authorizer"]["iam"] |= {"accountId": principal.account_id, "userArn": principal.user_arn}
    if not parts.query:
        del event["queryStringParameters"]
    if request.body:
        event["body"] = request.body.decode() if is_text else base64.b64encode(request.body).decode()
    return event


def http_response(payload: Any) -> Response:
    """The HTTP answer that a Function URL makes of what the function returned."""
    if not isinstance(payload, dict) or "statusCode" not in payload:
        return Response(200, json.dumps(payload).encode(), {"Content-Type": "application/json"})
    body = payload.get("body") or ""
    data = base64.b64decode(body) if payload.get("isBase64Encoded") else str(body).encode()
    headers = {str(name): str(value) for name, value in (payload.get("headers") or {}).items()}
    if "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    return Response(int(payload["statusCode"]), data, headers)
