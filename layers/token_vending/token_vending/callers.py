"""Who may ask over HTTP: ARN patterns, matched without a chance of failing open.

IAM comes first; this list is the second lock. An empty list lets nobody in.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from token_vending.errors import ConfigurationError

_PARTITION = r"(?P<partition>aws|aws-cn|aws-us-gov)"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
_PATTERN = rf"arn:{_PARTITION}:iam::(?P<account>\d{{12}}):(?P<kind>role|user)/(?P<path>[\w+=,.@/*-]+)"
_IDENTITY = rf"arn:{_PARTITION}:iam::(?P<account>\d{{12}}):(?P<kind>role|user)/(?P<path>[\w+=,.@/-]+)"
_SESSION = rf"arn:{_PARTITION}:sts::(?P<account>\d{{12}}):assumed-role/(?P<role>[\w+=,.@-]+)/(?P<session>[\w+=,.@-]+)"


class _Principal(NamedTuple):
    partition: str
    account: str
    kind: str
    path: tuple[str, ...]
    """The segments after `role/` or `user/`; the last one is the name."""
    path_known: bool = True


class AllowedCallers(NamedTuple):
    """The compiled list. `unmatchable` holds the patterns that no assumed-role session can ever match."""

    patterns: tuple[_Principal, ...]
    unmatchable: tuple[str, ...] = ()

    @classmethod
    def parse(cls, patterns: Iterable[str]) -> "AllowedCallers":
        """From patterns such as `arn:aws:iam::123456789012:role/billing-*`.

        `*` stands for any characters within one segment between slashes, in the name or the path, never in
        the account. Raises ConfigurationError for anything else: a list with a mistake in it lets nobody in.
        """
        compiled: list[_Principal] = []
        unmatchable: list[str] = []
        for pattern in patterns:
            found = re.fullmatch(_PATTERN, pattern, re.ASCII)
            path = tuple(found["path"].split("/")) if found else ()
            if not found or not all(path):
                raise ConfigurationError(
                    f"AllowedCallers: {pattern[:200]!r} is not an ARN pattern of a role or user. Write "
                    "arn:aws:iam::<12 digits>:role/<name> or .../user/<name>; * stands for characters within "
                    "one segment."
                )
            if found["kind"] == "role" and len(path) > 1 and "*" in path[-1]:
                unmatchable.append(pattern)
            compiled.append(_Principal(found["partition"], found["account"], found["kind"], path))
        return cls(tuple(compiled), tuple(unmatchable))

    def allow(self, arn: str | None) -> bool:
        """Whether this caller is listed. `arn` is the `userArn` that API Gateway and Lambda URLs report."""
        caller = _principal(arn)
        return caller is not None and any(_matches(pattern, caller) for pattern in self.patterns)


@lru_cache(maxsize=128)
def _principal(arn: str | None) -> _Principal | None:
    if arn is None:
        return None
    session = re.fullmatch(_SESSION, arn, re.ASCII)
    if session:
        # https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumedRoleUser.html: the role's path is not
        # part of a session's ARN.
        return _Principal(
            session["partition"], session["account"], "role", (session["role"],), path_known=False
        )
    identity = re.fullmatch(_IDENTITY, arn, re.ASCII)
    if identity is None:
        return None
    return _Principal(
        identity["partition"], identity["account"], identity["kind"], tuple(identity["path"].split("/"))
    )


def _matches(pattern: _Principal, caller: _Principal) -> bool:
    if (pattern.partition, pattern.account, pattern.kind) != (caller.partition, caller.account, caller.kind):
        return False
    wanted = pattern.path
    if not caller.path_known and len(wanted) > 1:
        if "*" in wanted[-1]:
            # Some role of any path would do: what cannot be checked is not allowed.
            return False
        # Role names are unique within an account whatever their path, so the whole name is the whole role.
        wanted = wanted[-1:]
    return len(wanted) == len(caller.path) and all(map(_segment_matches, wanted, caller.path))


def _segment_matches(pattern: str, segment: str) -> bool:
    if "*" not in pattern:
        return segment == pattern
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), segment) is not None
