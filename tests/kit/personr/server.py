"""The stand-in over HTTP: the mint, and an endpoint that takes its tokens."""

import base64
import binascii
import json
import re
from email.parser import BytesParser
from typing import Any, override

from tests.kit.personr.controls import (
    API_PATH,
    DEFAULT_EMAIL,
    DEFAULT_PASSWORD,
    LIFETIME_SECONDS,
    MINT_PATH,
    WHOAMI_PATH,
    Controls,
    Seen,
)
from tests.kit.personr.scenarios import OMIT, Reset, Scenario
from tests.kit.stand_ins.loopback import Request, Response

HANG_LIMIT_SECONDS = 120.0

# As the vendor documents it, trailing comma and curly apostrophe included.
INVALID_LOGIN = (
    "{\n"
    '  "statusCode": 400,\n'
    '  "reason": "INVALID_LOGIN_CREDENTIALS",\n'
    '  "message": "We didn’t find an account with those login credentials",\n'  # noqa: RUF001
    "}"
)
MULTIPART = re.compile(r'multipart/form-data\s*;\s*boundary="?(?P<boundary>[\w\'()+,./:=? -]{1,70})"?\s*$')


class PersonrServer(Controls):
    @property
    def base_url(self) -> str:
        """What PERSONR_BASE_URL is set to."""
        return f"{self.url}{API_PATH}"

    def settings(self, url: str) -> dict[str, str]:
        """What the refresh function is told of this issuer, reached at this address."""
        return {"PERSONR_BASE_URL": f"{url}{API_PATH}"}

    @property
    def parameters(self) -> dict[str, str]:
        return {"PersonrBaseUrl": self.base_url}

    @property
    def secret_value(self) -> dict[str, str]:
        """What an operator puts into the credentials secret."""
        return {"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD}

    @property
    def mint_path(self) -> str:
        return MINT_PATH

    @property
    def mint_requests(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == self.mint_path]

    @override
    def handle(self, request: Request) -> Response | None:
        if request.path == self.mint_path:
            response = self._answer_mint(request)
        elif request.path == WHOAMI_PATH:
            response = self._answer_whoami(request)
        else:
            response = _bubble_error(
                404, "NOT_FOUND", f"Workflow not found {request.path.rpartition('/')[2]}"
            )
        status = None if response is None else response.status
        kind = request.headers.get("content-type", "")
        self._seen.append(Seen(request.method, request.path, status, kind))
        return response

    def _answer_mint(self, request: Request) -> Response | None:
        scenario = self._next_scenario() if request.method == "POST" else Scenario()
        email, complaint = self._authenticate(request)
        if complaint is not None and scenario == Scenario():
            return complaint
        self._stopping.wait(scenario.delay_seconds)
        by_itself = scenario.status is None and scenario.reset is not Reset.BEFORE and not scenario.hang
        mints = complaint is None and (scenario.took_effect or by_itself)
        token = self.mint_elsewhere(email) if mints else ""
        if scenario.hang or scenario.reset is not None:
            self._stopping.wait(HANG_LIMIT_SECONDS if scenario.hang else 0)
            request.connection.reset()
            return None
        if complaint is not None and scenario.status is None:
            return complaint
        return self._shape(request, scenario, email, token)

    def _next_scenario(self) -> Scenario:
        with self._lock:
            return self._scripted.popleft() if self._scripted else self._always or Scenario()

    def _shape(self, request: Request, scenario: Scenario, email: str, token: str) -> Response | None:
        text = self._success(email, token, scenario.expires) if scenario.body is None else scenario.body
        body = text.replace("{token}", token).encode(errors="surrogateescape")
        headers = {"Content-Type": "application/json", **self._token_headers(token), **scenario.headers}
        response = Response(scenario.status or 200, body[: scenario.truncate], headers, len(body))
        if scenario.drip_seconds is None:
            return response
        request.connection.drip(response, scenario.drip_seconds, self._stopping)
        return None

    def _success(self, email: str, token: str, expires: object) -> str:
        response: dict[str, Any] = {"token": token, "user_id": self._rules.user_id(email)}
        if expires != OMIT:
            response["expires"] = self._lifetime_seconds if expires == LIFETIME_SECONDS else expires
        return json.dumps({"status": "success", "response": response})

    def _token_headers(self, token: str) -> dict[str, str]:
        """What an answer carries beside its body."""
        return {}

    def _authenticate(self, request: Request) -> tuple[str, Response | None]:
        """Return the account, or the answer that refuses the request."""
        if request.method != "POST":
            return "", _bubble_error(405, "METHOD_NOT_ALLOWED", f"{request.method} is not allowed here")
        complaint = _multipart_complaint(request)
        if complaint is not None:
            return "", _bubble_error(400, "INVALID_MULTIPART", complaint)
        credentials = _basic_credentials(request)
        if credentials is None:
            return "", _bubble_error(
                401, "MISSING_AUTHORIZATION", "Basic credentials are missing or malformed"
            )
        with self._lock:
            if not self._rules.accepts(*credentials):
                return "", Response(400, INVALID_LOGIN.encode(), {"Content-Type": "application/json"})
        return credentials[0], None

    def _answer_whoami(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            found = self._rules.account_of(token)
        if scheme != "Bearer" or found is None:
            # Bubble echoes the whole token in its 401: whatever logs this body leaks.
            message = f"Invalid or expired token: {token}"
            args = {"code": "INVALID_TOKEN"}
            body = {"statusCode": 401, "translation": message, "args": args, "message": message}
            return Response.of_json(body, 401)
        email, user_id = found
        return Response.of_json({"status": "success", "response": {"email": email, "user_id": user_id}})


def _bubble_error(status: int, reason: str, message: str) -> Response:
    return Response.of_json({"statusCode": status, "reason": reason, "message": message}, status)


def _basic_credentials(request: Request) -> tuple[str, str] | None:
    """RFC 7617: Basic base64(user ":" password) in UTF-8; the password may hold colons."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme != "Basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def _multipart_complaint(request: Request) -> str | None:
    """What is wrong with the body as multipart/form-data (RFC 7578, RFC 2046 §5.1); None if nothing is."""
    content_type = request.headers.get("content-type", "")
    match = MULTIPART.match(content_type)
    if match is None:
        return "the content type is not multipart/form-data with a boundary"
    delimiter, body = b"--" + match["boundary"].encode(), request.body.rstrip(b"\r\n")
    if body == delimiter + b"--":
        return None  # no fields: only the closing delimiter
    if not (body.startswith(delimiter) and body.endswith(delimiter + b"--")):
        return "the body does not start with the boundary, or does not end with the closing one"
    parsed = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + request.body)
    return None if parsed.is_multipart() and not parsed.defects else "the multipart body is malformed"
