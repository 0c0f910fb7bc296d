"""Who may ask over HTTP: ARN patterns. What cannot be matched for certain is not allowed.

IAM decides who reaches the URL; this list narrows it. An empty list lets nobody in.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from token_vending.errors import ConfigurationError

_PARTITION = r"(?P<partition>aws(?:-cn|-us-gov|-eusc|-iso(?:-[bef])?)?)"
_NAME = r"[\w+=,.@-]{1,64}"
# Lengths: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_PRINCIPAL = (
    rf"arn:{_PARTITION}:iam::(?P<account>\d{{12}}):(?P<kind>role|user)"
    r"(?P<path>/(?:[\w+=,.@*-]+/)*)(?P<name>[\w+=,.@*-]{1,64})"
)
_MAX_PATH, _MAX_ARN = 512, 1024
_SESSION = rf"arn:{_PARTITION}:sts::(?P<account>\d{{12}}):assumed-role/(?P<role>{_NAME})/{_NAME}"


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
            principal = _principal(pattern)
            if principal is None:
                raise ConfigurationError(
                    f"AllowedCallers: {pattern[:200]!r} is not an ARN pattern of a role or user. Write "
                    "arn:aws:iam::<12 digits>:role/<name> or .../user/<name>; * stands for characters within "
                    "one segment."
                )
            if principal.kind == "role" and len(principal.path) > 1 and "*" in principal.path[-1]:
                unmatchable.append(pattern)
            compiled.append(principal)
        return cls(tuple(compiled), tuple(unmatchable))

    def allow(self, arn: str | None) -> bool:
        """Whether this caller is listed. `arn` is the `userArn` that API Gateway and Lambda URLs report."""
        return arn is not None and len(arn) <= _MAX_ARN and _allowed(self.patterns, arn)


@lru_cache(maxsize=128)
def _allowed(patterns: tuple[_Principal, ...], arn: str) -> bool:
    caller = _caller(arn)
    return caller is not None and any(_matches(pattern, caller) for pattern in patterns)


def _caller(arn: str) -> _Principal | None:
    if "*" in arn:
        return None
    session = re.fullmatch(_SESSION, arn, re.ASCII)
    if session is None:
        return _principal(arn)
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumedRoleUser.html: the role's path is not part of
    # a session's ARN.
    return _Principal(session["partition"], session["account"], "role", (session["role"],), path_known=False)


def _principal(arn: str) -> _Principal | None:
    found = re.fullmatch(_PRINCIPAL, arn, re.ASCII)
    if found is None or len(found["path"]) > _MAX_PATH:
        return None
    path = (*found["path"].split("/")[1:-1], found["name"])
    return _Principal(found["partition"], found["account"], found["kind"], path)


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
    """Each part between two stars is looked for once, from the left: a regular expression would try them all."""
    first, *between = pattern.split("*")
    if not between:
        return segment == pattern
    last = between.pop()
    if len(segment) < len(first) + len(last) or not (segment.startswith(first) and segment.endswith(last)):
        return False
    position, end = len(first), len(segment) - len(last)
    for part in between:
        position = segment.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True
