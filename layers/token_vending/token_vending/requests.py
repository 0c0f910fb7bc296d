"""What the outside may ask of us, read strictly: an unknown field is an error, not a default.

Raises InvalidRequest naming the field throughout; values of unknown fields are never repeated.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from token_vending.errors import InvalidRequest

MAX_TEXT = 256
_SHOWN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,23}", re.ASCII)
_MAX_MIN_SECONDS = 10**10
"""Seconds: far beyond any token's life, and still a number that can be computed with."""


class _Rule(NamedTuple):
    """What a field may hold."""

    fits: Callable[[Any], bool]
    wanted: str


_TEXT = _Rule(
    lambda value: isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable(),
    f"a string of 1 to {MAX_TEXT} printable characters",
)
# Strict, because it gets into logs: a caller that reports the token itself must not find it there.
_VERSION = _Rule(
    lambda value: isinstance(value, str) and bool(re.fullmatch(r"[\w.:-]{1,256}", value, re.ASCII)),
    "the version you were given: letters, digits and any of _.:- , up to 256",
)
_FLAG = _Rule(lambda value: isinstance(value, bool), "true or false")
_SECONDS = _Rule(
    lambda value: type(value) is int and 0 <= value <= _MAX_MIN_SECONDS,
    f"a whole number of seconds, 0 to {_MAX_MIN_SECONDS}",
)
_REFRESH_FIELDS = {"id": _TEXT, "scheduled_time": _TEXT, "force": _FLAG, "rejected_version": _VERSION}
_VEND_FIELDS = {"rejected_version": _VERSION, "min_seconds": _SECONDS}
_REJECTION_FIELDS = {"version": _VERSION}


class RefreshRequest(NamedTuple):
    """One run of the refresh function. `run` is derived from the event, so that a re-delivery is recognised.

    `force` together with `rejected_version` is what the vend function asks for a caller who needs a longer
    life than that version has: replace it if it is still the current one, within the minimum age.
    """

    run: str
    force: bool = False
    rejected_version: str | None = None
    scheduled_time: str | None = None

    @property
    def by_a_person(self) -> bool:
        """Whether it is an operator's own `force`, which overrides what protects against callers and ticks."""
        return self.force and self.rejected_version is None

    def attempt(self, intent_version: str) -> str:
        """The run id that one attempt at this event leaves in its intent and its token.

        Each delivery of an event makes an attempt of its own. Shared, a run id would make the intent of the
        second delivery look finished by the token of the first one, while its mint is under way.
        """
        return f"{self.run}/{intent_version}"

    def made(self, attempt: str | None) -> bool:
        """Whether that run id is of an attempt at this event."""
        return attempt is not None and attempt.partition("/")[0] == self.run

    @classmethod
    def parse(cls, event: object, *, default_id: str) -> "RefreshRequest":
        """From `{"id": str, "scheduled_time": str, "force": bool, "rejected_version": str}`, all optional.

        The envelope of a classic EventBridge rule is a plain tick. Without an id the Lambda request id
        serves: it stays the same through Lambda's asynchronous retries.
        """
        if isinstance(event, dict) and "detail-type" in event and "source" in event:
            # https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
            envelope_id = event.get("id")
            return cls(
                run=_run_id(envelope_id if isinstance(envelope_id, str) and envelope_id else default_id, None)
            )
        fields = _read(event, "The event", _REFRESH_FIELDS)
        event_id = fields.get("id", default_id)
        if event_id.startswith("<aws.scheduler."):
            # A scheduler that does not fill in context attributes would make one event of all ticks.
            event_id = default_id
        rejected_version = fields.get("rejected_version")
        return cls(
            run=_run_id(event_id, rejected_version),
            force=fields.get("force", False),
            rejected_version=rejected_version,
            scheduled_time=fields.get("scheduled_time"),
        )


class VendRequest(NamedTuple):
    """One caller asking for the token. `min_seconds` is the remaining life it would like, in seconds."""

    rejected_version: str | None = None
    min_seconds: int = 0

    @classmethod
    def parse(cls, event: object) -> "VendRequest":
        """From the direct-invoke event `{"rejected_version": str, "min_seconds": int}`, both optional."""
        fields = _read(event, "The event", _VEND_FIELDS)
        return cls(rejected_version=fields.get("rejected_version"), min_seconds=fields.get("min_seconds", 0))


def parse_rejection(body: str | None) -> VendRequest:
    """From the body of `POST /token/rejections`: `{"version": str}`."""
    try:
        content = json.loads(body or "")
    except (ValueError, RecursionError):
        raise InvalidRequest(
            'The body is not JSON. Send {"version": "<the version you were given>"}.'
        ) from None
    fields = _read(content, "The body", _REJECTION_FIELDS)
    if "version" not in fields:
        raise InvalidRequest("The body: field 'version' is missing. Send the version you were given.")
    return VendRequest(rejected_version=fields["version"])


def parse_min_seconds(text: str) -> int:
    """From the query parameter of the same name: a whole number of seconds."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_MIN_SECONDS))):
        raise InvalidRequest("Query parameter 'min_seconds' must be a whole number of seconds, 0 or more.")
    seconds: int = _read({"min_seconds": int(text)}, "The query", _VEND_FIELDS)["min_seconds"]
    return seconds


def show_name(name: object) -> str:
    """A name that a caller made up, quoted; only if it looks like one, since it may be a token gone astray."""
    if isinstance(name, str) and _SHOWN_NAME.fullmatch(name):
        return repr(name)
    return "with a name that is not repeated here"


def made_by(attempt: str, intent_version: str) -> bool:
    """Whether that run id is of the attempt whose intent has this version."""
    return attempt.partition("/")[2] == intent_version


def _run_id(event_id: str, rejected_version: str | None) -> str:
    # Hashed, so that whatever a sender puts into an id stays a plain word of known length in the record and
    # the logs. The rejected version is part of it: a sender that uses one id for two rejections has two runs.
    parts = json.dumps([event_id, rejected_version])
    return "run-" + hashlib.sha256(parts.encode()).hexdigest()[:32]


def _read(value: object, name: str, known: Mapping[str, _Rule]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be a JSON object.")
    for field, given in value.items():
        if field not in known:
            raise InvalidRequest(f"Unknown field {show_name(field)}. Known fields: {', '.join(known)}.")
        if not known[field].fits(given):
            raise InvalidRequest(f"Field {field!r} must be {known[field].wanted}.")
    return value
