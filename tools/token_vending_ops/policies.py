"""What a policy document allows, and to whom."""

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_NARROWING = re.compile(
    r"aws:(principal(account|arn|orgid|orgpaths)|source(account|arn|owner|orgid|orgpaths|vpc|vpce))|kms:calleraccount"
)
"""Condition keys that restrict who it is although the principal is everybody."""
_ACCOUNT = re.compile(r"[0-9]{12}")


@dataclass(frozen=True)
class Grant:
    """One principal of one Allow statement."""

    statement: str
    principal: str
    actions: frozenset[str]
    narrowed: bool
    """Whether a condition restricts who it is."""

    @property
    def open(self) -> bool:
        """Whether the principal is everybody, without a condition."""
        return self.principal == "*" and not self.narrowed

    @property
    def account(self) -> str | None:
        """The account, if a whole account is meant: `123456789012` or its root."""
        arn = re.fullmatch(r"arn:[^:]+:iam::([0-9]{12}):root", self.principal)
        if arn:
            return arn[1]
        return self.principal if _ACCOUNT.fullmatch(self.principal) else None

    @property
    def who(self) -> str:
        """For a person."""
        return "everybody" if self.principal == "*" else self.principal


def parsed(document: str | dict[str, Any]) -> dict[str, Any]:
    """IAM gives it percent-encoded, boto3 decoded, Lambda as text."""
    if isinstance(document, dict):
        return document
    text = document if document.lstrip().startswith("{") else urllib.parse.unquote(document)
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def grants_of(document: str | dict[str, Any] | None) -> list[Grant]:
    """Every grant of a resource's policy; none if it has no policy."""
    return [] if document is None else list(_grants(parsed(document)))


def _grants(document: Mapping[str, Any]) -> Iterator[Grant]:
    for statement in _listed(document["Statement"]):
        if statement["Effect"] != "Allow":
            continue
        keys = {key.lower() for block in statement.get("Condition", {}).values() for key in block}
        narrowed = any(_NARROWING.fullmatch(key) for key in keys)
        # NotPrincipal with Allow is everybody but a few.
        principal = statement.get("Principal", "*")
        named = principal.values() if isinstance(principal, dict) else [principal]
        for one in (one for several in named for one in _listed(several)):
            # NotAction allows everything but a few.
            actions = frozenset(_listed(statement.get("Action", "*")))
            yield Grant(statement.get("Sid", ""), one, actions, narrowed)


def allowed(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    """What an identity policy allows: (action, resource), as they are written."""
    return {
        (action, resource)
        for statement in _listed(document["Statement"])
        if statement["Effect"] == "Allow"
        for action in _listed(statement.get("Action", "*"))
        for resource in _listed(statement.get("Resource", "*"))
    }


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  JSON
    return value if isinstance(value, list) else [value]
