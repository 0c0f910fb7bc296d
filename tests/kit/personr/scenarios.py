"""What a mint can be told to do instead of what is documented. A scenario is consumed by one mint request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Reset(StrEnum):
    """When the connection breaks."""

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
    :param late_seconds: answer nothing; the mint lands this much later and kills whatever was minted
        meanwhile.
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
    late_seconds: float | None = None
    expires: Any = 31_536_000
    drip_seconds: float | None = None
    truncate: int | None = None
    name: str = ""


OMIT = "<omit>"

# --- named scenarios ----------------------------------------------------------------------------------------


def rate_limited(retry_after: str | None = None) -> Scenario:
    """429, with or without Retry-After."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    body = json.dumps({"statusCode": 429, "reason": "RATE_LIMIT", "message": "Too many requests"})
    return Scenario(status=429, body=body, headers=headers, name="rate limited")


def maintenance(status: int = 503) -> Scenario:
    """Bubble's HTML page while an application is down."""
    return Scenario(
        status=status,
        body="<!doctype html><html><body><h1>Temporarily unavailable</h1></body></html>",
        headers={"Content-Type": "text/html"},
        name=f"maintenance page {status}",
    )


def workflow_error(status: int = 400, reason: str = "WORKFLOW_DISABLED") -> Scenario:
    """A permanent refusal other than bad credentials."""
    body = json.dumps({"statusCode": status, "reason": reason, "message": "Workflow is not enabled"})
    return Scenario(status=status, body=body, name=f"{status} {reason}")


def not_run() -> Scenario:
    """Bubble's 200-free way of saying that a condition of the workflow was not met."""
    return Scenario(status=200, body=json.dumps({"status": "NOT_RUN", "response": {}}), name="NOT_RUN")


def redirect(location: str, status: int = 302) -> Scenario:
    """A redirect that must not be followed."""
    return Scenario(status=status, body="", headers={"Location": location}, name=f"redirect {status}")


def html_success() -> Scenario:
    """A 200 that is a page: the mint did not happen."""
    return Scenario(
        status=200, body="<html>Welcome</html>", headers={"Content-Type": "text/html"}, name="HTML 200"
    )


def garbled_success(body: str = '{"status":"success","response":{"tok') -> Scenario:
    """The mint happened and its answer cannot be read."""
    return Scenario(body=body, took_effect=True, name="garbled 200")


def huge_success(bytes_: int = 8 * 1024 * 1024) -> Scenario:
    """A body larger than anyone should read."""
    return Scenario(
        body='{"status":"success","padding":"' + "x" * bytes_ + '"}', took_effect=True, name="huge 200"
    )


def deeply_nested(depth: int = 100_000) -> Scenario:
    """JSON that overflows a recursive parser."""
    return Scenario(body="[" * depth + "]" * depth, took_effect=True, name="deeply nested 200")


def expires(value: object) -> Scenario:
    """A successful mint with an odd lifetime; :data:`OMIT` leaves the field out."""
    return Scenario(expires=value, name=f"expires {value!r}")


def late_mint(seconds: float) -> Scenario:
    """The client times out; the mint lands later."""
    return Scenario(late_seconds=seconds, name=f"late mint {seconds} s")
