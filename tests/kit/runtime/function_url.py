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
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
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
        """The account in the ARN."""
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
        if "host" not in signed or not _body_matches(request):
            return None
        return (
            principal
            if hmac.compare_digest(_signature(request, principal, match), match["signature"])
            else None
        )


def _is_recent(stamp: str) -> bool:
    try:
        then = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    except ValueError:
        return False
    return abs(dt.datetime.now(dt.UTC) - then) <= MAX_SKEW


def _body_matches(request: Request) -> bool:
    declared = request.headers.get("x-amz-content-sha256")
    return declared in (None, "UNSIGNED-PAYLOAD", hashlib.sha256(request.body).hexdigest())


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


def http_event(request: Request, principal: Principal | None = CALLER) -> dict[str, Any]:
    """The payload-2.0 event of a request; without a principal there is no authorizer in it."""
    parts = urlsplit(request.target)
    now = time.time()
    content_type = request.headers.get("content-type", "")
    is_text = not request.body or content_type.startswith(TEXT_TYPES)
    context: dict[str, Any] = {
        "accountId": principal.account_id if principal else "anonymous",
        "apiId": "abcdefghijklmnopqrstuvwxyz012345",
        "domainName": f"abcdefghijklmnopqrstuvwxyz012345.lambda-url.{REGION}.on.aws",
        "domainPrefix": "abcdefghijklmnopqrstuvwxyz012345",
        "http": {
            "method": request.method,
            "path": parts.path or "/",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": str(uuid.uuid4()),
        "routeKey": "$default",
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }
    if principal is not None:
        context["authentication"] = None
        context["authorizer"] = {
            "iam": {
                "accessKey": principal.access_key,
                "accountId": principal.account_id,
                "callerId": "AROAEXAMPLEROLEID000:session",
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": principal.user_arn,
                "userId": "AROAEXAMPLEROLEID000:session",
            }
        }
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.path or "/",
        "rawQueryString": parts.query,
        "headers": dict(request.headers),
        "requestContext": context,
        "isBase64Encoded": not is_text,
    }
    if parts.query:
        event["queryStringParameters"] = _joined_query(parts.query)
    if request.body:
        event["body"] = request.body.decode() if is_text else base64.b64encode(request.body).decode()
    return event


def _joined_query(query: str) -> dict[str, str]:
    """Repeated fields are joined with commas in this format."""
    joined: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


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
