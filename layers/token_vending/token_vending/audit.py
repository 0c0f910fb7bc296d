"""One line for every hand-out and every refusal: who, which version, outcome."""

import re
from enum import StrEnum
from typing import NamedTuple

from token_vending.token import fingerprint

_VERSION = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
"""What Secrets Manager, its SDKs and this product use for one: a UUID."""


class Door(StrEnum):
    """How the request came in."""

    DIRECT = "direct"
    HTTP = "http"


class Outcome(StrEnum):
    """What became of it."""

    HANDED_OUT = "handed_out"
    NOT_MODIFIED = "not_modified"
    UNAVAILABLE = "unavailable"
    DENIED = "denied"
    INVALID = "invalid"


class AuditEvent(NamedTuple):
    """`caller` is the ARN over HTTP; Lambda does not tell a function who invoked it directly (CloudTrail does).

    The token appears as its fingerprint: enough to see that two callers hold the same one.
    """

    door: Door
    outcome: Outcome
    caller: str | None = None
    version: str | None = None
    fingerprint: str | None = None
    rejected_version: str | None = None
    cache_hit: bool | None = None
    error: str | None = None
    detail: str | None = None
    warning: str | None = None

    def as_dict(self) -> dict[str, str | bool]:
        """The fields that are known, for the log line's `audit` object."""
        fields = {name: value for name, value in zip(self._fields, self, strict=True) if value is not None}
        said = self.rejected_version
        if said is not None and not _VERSION.fullmatch(said):
            # A caller that confuses the two sends the token itself.
            fields["rejected_version"] = f"sha256:{fingerprint(said)}"
        return fields
