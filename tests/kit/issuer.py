"""A stand-in for any issuer, generated from its description: what it takes for right is what the description sends."""

import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any, override
from urllib.parse import parse_qsl, urlsplit

from tests.kit.personr.controls import DEFAULT_EMAIL, LIFETIME_SECONDS
from tests.kit.personr.scenarios import OMIT
from tests.kit.personr.server import PersonrServer
from tests.kit.stand_ins.loopback import Request, Response
from token_vending.adapters.issuer import DescribedIssuer
from token_vending.adapters.login_request import login_request
from token_vending.credentials import Credentials
from token_vending.issuers import BASE_URL, Condition, Description, Place

_PER_SECOND = {
    "seconds": 1.0,
    "milliseconds": 1000.0,
    "minutes": 1 / 60,
    "hours": 1 / 3600,
    "days": 1 / 86400,
}


class IssuerServer(PersonrServer):
    """One account, whose credentials are made up; the controls know it by the same name.

    Misbehaves by the same scenarios as Personr's stand-in.
    """

    def __init__(
        self, description: Description, port: int = 0, *, lifetime_seconds: int = LIFETIME_SECONDS
    ) -> None:
        super().__init__(port, lifetime_seconds=lifetime_seconds, destructive=description.destructive)
        # Whatever host the description names, this one is on loopback.
        path = urlsplit(description.url.replace(BASE_URL, "http://stand-in")).path
        self.description = description._replace(url=f"{BASE_URL}{path}")
        self.credentials = Credentials(
            "v", {field.name: f"the-{field.name}-of-the-stand-in" for field in description.fields}
        )

    def issuer(self) -> DescribedIssuer:
        """The product, told to log in here."""
        return DescribedIssuer(self.description, self.base_url, probe_url=f"{self.url}/api/1.1/wf/whoami")

    @override
    def settings(self, url: str) -> dict[str, str]:
        return {"ISSUER": self.description.name, "ISSUER_URL": url}

    @property
    @override
    def parameters(self) -> dict[str, str]:
        return {"Issuer": self.description.name, "IssuerUrl": self.base_url}

    @property
    @override
    def secret_value(self) -> dict[str, str]:
        return dict(self.credentials.fields)

    @property
    @override
    def base_url(self) -> str:
        return self.url

    @property
    @override
    def mint_path(self) -> str:
        return self.description.url.removeprefix(BASE_URL) or "/"

    @override
    def _authenticate(self, request: Request) -> tuple[str, Response | None]:
        wanted = login_request(self.description, self.credentials)
        kind, _ = self.description.body
        same = request.method == self.description.method and all(
            request.headers.get(name) == value
            for name, value in wanted.headers.items()
            if kind != "multipart" or name != "content-type"
        )
        if kind in {"json", "form"}:
            same = same and _content(kind, request.body) == _content(kind, wanted.body or b"")
        if same:
            return DEFAULT_EMAIL, None
        return "", answer_of(
            self.description, self.description.refused[0]
        ) if self.description.refused else Response(400)

    @override
    def _success(self, email: str, token: str, expires: object) -> str:
        stated = self._stated() if expires == LIFETIME_SECONDS else expires
        return success_of(self.description, token, stated)

    @override
    def _token_headers(self, token: str) -> dict[str, str]:
        lifetime = self.description.lifetime
        headers = {lifetime.header: str(self._stated())} if lifetime and lifetime.header else {}
        if self.description.token.header and token:
            headers[self.description.token.header] = token
        return headers

    @override
    def _new_token(self) -> str:
        return secrets.token_urlsafe(24)

    def _stated(self) -> object:
        seconds, unit = self._lifetime_seconds, self.description.unit
        if unit == "date":
            return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        if unit.startswith("epoch_"):
            return round((time.time() + seconds) * (1000 if unit == "epoch_milliseconds" else 1))
        return max(1, round(seconds * _PER_SECOND[unit]))


def success_of(description: Description, token: str, stated: object) -> str:
    """The JSON body of a success. The token is not in it where a header carries it."""
    body: dict[str, Any] = {}
    _put(body, description.token, token)
    if description.lifetime and stated != OMIT:
        _put(body, description.lifetime, stated)
    if description.user_id:
        _put(body, description.user_id, "user-1")
    return json.dumps(body)


def answer_of(description: Description, condition: Condition) -> Response:
    status = min(condition.statuses).replace("xx", "00")
    body: dict[str, Any] = {}
    if description.reason and condition.reasons:
        _put(body, description.reason, min(condition.reasons))
    return Response.of_json(body, int(status))


def _put(body: dict[str, Any], place: Place, value: object) -> None:
    if place.header is not None:
        return
    for name in place.names[:-1]:
        body = body.setdefault(name, {})
    body[place.names[-1]] = value


def _content(kind: str, body: bytes) -> object:
    try:
        return (
            json.loads(body)
            if kind == "json"
            else sorted(parse_qsl(body.decode(), strict_parsing=bool(body)))
        )
    except ValueError:
        return body
