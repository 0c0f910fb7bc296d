"""Identity policies evaluated as IAM does it, for the few features that the template uses.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html: denied unless some
statement allows it, and denied by any that says so. What this does not know is an error, not an allowance.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ask:
    """One call: the action, what it acts on, and the context keys that AWS would fill in."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def allowed(statements: Iterable[Mapping[str, Any]], ask: Ask) -> bool:
    """Whether these statements together allow it."""
    effects = {statement["Effect"] for statement in statements if _applies(statement, ask)}
    return effects == {"Allow"}


def _applies(statement: Mapping[str, Any], ask: Ask) -> bool:
    unknown = set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition"}
    assert not unknown, f"not evaluated here: {sorted(unknown)}"
    return (
        any(_like(pattern, ask.action, fold=True) for pattern in _list(statement["Action"]))
        and any(_like(pattern, ask.resource) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, key, values, ask.context)
            for operator, tests in statement.get("Condition", {}).items()
            for key, values in tests.items()
        )
    )


def _holds(operator: str, key: str, values: Any, context: Mapping[str, str]) -> bool:
    assert operator in ("Bool", "StringEquals", "StringLike", "ArnLike"), f"not evaluated here: {operator}"
    given = context.get(key)
    if given is None:
        return False
    if operator in ("Bool", "StringEquals"):
        return given in _list(values)
    return any(_like(pattern, given) for pattern in _list(values))


def _like(pattern: str, text: str, *, fold: bool = False) -> bool:
    # `${Token.Id}` stands for what only a deployment knows; its braces are no wildcards.
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(expression, text, re.IGNORECASE if fold else 0) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
