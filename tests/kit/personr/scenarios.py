"""What a mint can be told to do instead of what is documented. A scenario is consumed by one mint request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Reset(StrEnum):
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True)
class Scenario:
    """One mint's misbehaviour. The default misbehaves in nothing.

    :param status: answered without minting, unless ``took_effect`` says that the mint happened nevertheless.
    :param body: replaces the documented body, verbatim; ``{token}`` stands for the token minted.
    :param headers: added to the answer, for instance Retry-After or Location.
    :param delay_seconds: wait before anything happens.
    :param hang: never answer; ``took_effect`` says whether the mint happened.
    :param reset: break the connection before the mint, or after it took effect.
    :param expires: the value in place of 31536000; :data:`OMIT` leaves the field out.
    :param drip_seconds: the body arrives byte by byte, this long in all.
    :param truncate: send only so many bytes of the body that the headers announce.
    """

    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    took_effect: bool = False
    delay_seconds: float = 0.0
    hang: bool = False
    reset: Reset | None = None
    expires: Any = 31_536_000
    drip_seconds: float | None = None
    truncate: int | None = None


OMIT = "<omit>"


def rate_limited(retry_after: str | None = None) -> Scenario:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    body = json.dumps({"statusCode": 429, "reason": "RATE_LIMIT", "message": "Too many requests"})
    return Scenario(status=429, body=body, headers=headers)


def maintenance(status: int = 503) -> Scenario:
    """Bubble's HTML page while an application is down."""
    return Scenario(
        status=status,
        body="<!doctype html><html><body><h1>Temporarily unavailable</h1></body></html>",
        headers={"Content-Type": "text/html"},
    )


def workflow_error(status: int = 400, reason: str = "WORKFLOW_DISABLED") -> Scenario:
    """A permanent refusal other than bad credentials."""
    body = json.dumps({"statusCode": status, "reason": reason, "message": "Workflow is not enabled"})
    return Scenario(status=status, body=body)


def redirect(location: str, status: int = 302) -> Scenario:
    return Scenario(status=status, body="", headers={"Location": location})


def huge_success(bytes_: int = 8 * 1024 * 1024) -> Scenario:
    """A body larger than anyone should read."""
    return Scenario(body='{"status":"success","padding":"' + "x" * bytes_ + '"}', took_effect=True)


def expires(value: object) -> Scenario:
    """A successful mint with an odd lifetime; :data:`OMIT` leaves the field out."""
    return Scenario(expires=value)
