"""The stand-in's server: accounts, tokens, the mint, a bearer-protected endpoint, records and controls."""

import base64
import binascii
import json
import re
import secrets
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesParser
from typing import Any, Self, override

from tests.kit.personr.rules import Personr
from tests.kit.personr.scenarios import OMIT, Reset, Scenario
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

API_PATH = "/api/1.1/wf"
MINT_PATH = f"{API_PATH}/api-basic-auth"
WHOAMI_PATH = f"{API_PATH}/whoami"

DEFAULT_EMAIL = "service-account@example.com"
DEFAULT_PASSWORD = "correct:horse battery stäple"
HANG_LIMIT_SECONDS = 120.0
LIFETIME_SECONDS = 31_536_000

# As the vendor documents it, trailing comma and curly apostrophe included.
INVALID_LOGIN = (
    "{\n"
    '  "statusCode": 400,\n'
    '  "reason": "INVALID_LOGIN_CREDENTIALS",\n'
    '  "message": "We didn’t find an account with those login credentials",\n'  # noqa: RUF001
    "}"
)

MULTIPART = re.compile(
    r'multipart/form-data\s*;\s*boundary="?(?P<boundary>[A-Za-z0-9\'()+_,./:=? -]{1,70})"?\s*$'
)


@dataclass(frozen=True)
class Seen:
    """One request as it arrived. Without credentials, so that records can be printed."""

    method: str
    path: str
    status: int | None
    """The answer's status; None when the connection was broken or left hanging."""
    content_type: str


class PersonrServer(LoopbackServer):
    """The vendor: one live token an account, a new mint kills the old.

    Strict about what the documentation asks for: POST, Basic credentials, a well-formed multipart body.
    """

    def __init__(
        self,
        port: int = 0,
        accounts: Mapping[str, str] | None = None,
        *,
        lifetime_seconds: int = LIFETIME_SECONDS,
        tls: ssl.SSLContext | None = None,
        destructive: bool = True,
    ) -> None:
        super().__init__(port, tls=tls)
        given = {DEFAULT_EMAIL: DEFAULT_PASSWORD} if accounts is None else accounts
        self._lifetime_seconds = lifetime_seconds
        self._rules = Personr(lambda: datetime.now(UTC), lambda *_: self._new_token())
        self._rules.idle_lifetime = None
        self._rules.destructive = self.destructive = destructive
        for email, password in given.items():
            self._rules.set_password(email, password)
        self._scripted: deque[Scenario] = deque()
        self._always: Scenario | None = None
        self._seen: list[Seen] = []
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._late: list[threading.Timer] = []

    # --- controls -------------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """What PERSONR_BASE_URL is set to."""
        return f"{self.url}{API_PATH}"

    def settings(self, url: str) -> dict[str, str]:
        """What the refresh function is told of this issuer, reached at this address."""
        return {"PERSONR_BASE_URL": f"{url}{API_PATH}"}

    @property
    def parameters(self) -> dict[str, str]:
        """What the template is told of this issuer."""
        return {"PersonrBaseUrl": self.base_url}

    @property
    def secret_value(self) -> dict[str, str]:
        """What an operator puts into the credentials secret."""
        return {"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD}

    @property
    def mint_path(self) -> str:
        """Where it mints."""
        return MINT_PATH

    def script(self, *scenarios: Scenario) -> None:
        """Queue misbehaviour; each is consumed by one mint request, after which mints are well-behaved
        again.
        """
        with self._lock:
            self._scripted.extend(scenarios)

    def always(self, scenario: Scenario | None) -> None:
        """Misbehave at every mint that no scripted scenario is left for; None ends it."""
        with self._lock:
            self._always = scenario

    def reset_script(self) -> None:
        """Forget all scenarios and cancel late mints."""
        with self._lock:
            self._scripted.clear()
            self._always = None
            for timer in self._late:
                timer.cancel()
            self._late.clear()

    def mint_elsewhere(self, email: str = DEFAULT_EMAIL) -> str:
        """Mint as somebody else with the same account would: the live token dies."""
        return self._mint(email)

    def kill(self, email: str = DEFAULT_EMAIL) -> None:
        """Let the live token die without a successor, as an idle one does."""
        with self._lock:
            self._rules.kill(email)

    def set_password(self, password: str, email: str = DEFAULT_EMAIL) -> None:
        """Change, or create, an account; the live token stays alive."""
        with self._lock:
            self._rules.set_password(email, password)

    def live_token(self, email: str = DEFAULT_EMAIL) -> str | None:
        """Return the account's live token."""
        with self._lock:
            return self._rules.live_token(email)

    def is_live(self, token: str | None) -> bool:
        """Whether a token works now."""
        with self._lock:
            return token is not None and self._rules.works(token)

    def mint_count(self, email: str | None = None) -> int:
        """Return how many mints took effect, of one account or all, foreign ones included."""
        with self._lock:
            return sum(email in (None, mint.email) for mint in self._rules.history)

    @property
    def seen(self) -> list[Seen]:
        """Every request so far, controls excluded."""
        with self._lock:
            return list(self._seen)

    @property
    def mint_requests(self) -> list[Seen]:
        """The requests that reached the mint's path, whatever came of them."""
        return [seen for seen in self.seen if seen.path == self.mint_path]

    @property
    def ever_minted(self) -> list[str]:
        """Every token ever minted, live or dead: what a leak test searches for."""
        with self._lock:
            return [mint.token for mint in self._rules.history]

    # --- HTTP -----------------------------------------------------------------------------------------------

    @override
    def on_stop(self) -> None:
        self._stopping.set()
        self.reset_script()

    @override
    def start(self) -> Self:
        self._stopping.clear()
        return super().start()

    @override
    def handle(self, request: Request) -> Response | None:
        if request.path == self.mint_path:
            scenario = self._next_scenario() if request.method == "POST" else Scenario()
            response = self._answer_mint(request, scenario)
        elif request.path == WHOAMI_PATH:
            response = self._answer_whoami(request)
        else:
            response = _bubble_error(
                404, "NOT_FOUND", f"Workflow not found {request.path.rpartition('/')[2]}"
            )
        status = None if response is None else response.status
        with self._lock:
            self._seen.append(
                Seen(request.method, request.path, status, request.headers.get("content-type", ""))
            )
        return response

    def _next_scenario(self) -> Scenario:
        with self._lock:
            if self._scripted:
                return self._scripted.popleft()
            return self._always or Scenario()

    def _answer_mint(  # noqa: PLR0911 - one return a way to misbehave
        self, request: Request, scenario: Scenario
    ) -> Response | None:
        email, complaint = self._authenticate(request)
        if complaint is not None and scenario == Scenario():
            return complaint
        self._stopping.wait(scenario.delay_seconds)
        if scenario.reset is Reset.BEFORE:
            request.connection.reset()
            return None
        if scenario.late_seconds is not None:
            self._mint_later(email, scenario.late_seconds)
            return self._hang(request)
        mints = complaint is None and (
            scenario.took_effect or (scenario.status is None and not scenario.hang)
        )
        token = self._mint(email) if mints else ""
        if scenario.hang:
            return self._hang(request)
        if scenario.reset is Reset.AFTER:
            request.connection.reset()
            return None
        if complaint is not None and scenario.status is None:
            return complaint
        return self._shape(request, scenario, email, token)

    def _shape(self, request: Request, scenario: Scenario, email: str, token: str) -> Response | None:
        text = self._success(email, token, scenario.expires) if scenario.body is None else scenario.body
        body = text.replace("{token}", token).encode(errors="surrogateescape")
        headers = {"Content-Type": "application/json", **self._token_headers(token), **scenario.headers}
        if scenario.drip_seconds is not None:
            return self._drip(request, body, scenario.drip_seconds)
        if scenario.truncate is not None:
            return Response(
                scenario.status or 200, body[: scenario.truncate], headers, declared_length=len(body)
            )
        return Response(scenario.status or 200, body, headers)

    def _success(self, email: str, token: str, expires: object) -> str:
        user_id = self._rules.user_id(email)
        response: dict[str, Any] = {"token": token, "user_id": user_id, "expires": expires}
        if expires == OMIT:
            del response["expires"]
        elif expires == LIFETIME_SECONDS:
            response["expires"] = self._lifetime_seconds
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
            accepted = self._rules.accepts(*credentials)
        if not accepted:
            return "", Response(400, INVALID_LOGIN.encode(), {"Content-Type": "application/json"})
        return credentials[0], None

    def _answer_whoami(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            found = self._rules.account_of(token)
        if scheme != "Bearer" or found is None:
            # Bubble echoes the whole token in its 401: whatever logs this body leaks.
            message = f"Invalid or expired token: {token}"
            body = {
                "statusCode": 401,
                "translation": message,
                "args": {"code": "INVALID_TOKEN"},
                "message": message,
            }
            return Response.of_json(body, 401)
        email, user_id = found
        return Response.of_json({"status": "success", "response": {"email": email, "user_id": user_id}})

    def _mint(self, email: str) -> str:
        with self._lock:
            return self._rules.mint_elsewhere(email).token

    def _new_token(self) -> str:
        return f"bus|{_bubble_id()}|{_bubble_id()}"

    def _mint_later(self, email: str, seconds: float) -> None:
        if not email:
            return
        timer = threading.Timer(seconds, self._mint, (email,))
        timer.daemon = True
        with self._lock:
            self._late.append(timer)
        timer.start()

    def _hang(self, request: Request) -> Response | None:
        self._stopping.wait(HANG_LIMIT_SECONDS)
        request.connection.reset()
        return None

    def _drip(self, request: Request, body: bytes, seconds: float) -> Response | None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        request.connection.write(head.encode())
        for start in range(len(body)):
            if self._stopping.wait(seconds / len(body)) or not request.connection.write(
                body[start : start + 1]
            ):
                break
        request.connection.close()
        return None


def _bubble_id() -> str:
    return f"{int(time.time() * 1000)}x{secrets.randbelow(10**18):018d}"


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
    """Say what is wrong with the body as multipart/form-data (RFC 7578, RFC 2046 §5.1); None if nothing
    is.
    """
    content_type = request.headers.get("content-type", "")
    match = MULTIPART.match(content_type)
    if match is None:
        return "the content type is not multipart/form-data with a boundary"
    boundary = match["boundary"].encode()
    if not request.body.rstrip(b"\r\n").endswith(b"--" + boundary + b"--"):
        return "the body does not end with the closing boundary"
    if not request.body.startswith(b"--" + boundary):
        return "the body does not start with the boundary"
    if request.body.rstrip(b"\r\n") == b"--" + boundary + b"--":
        return None  # no fields: only the closing delimiter
    parsed = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + request.body)
    return None if parsed.is_multipart() and not parsed.defects else "the multipart body is malformed"
