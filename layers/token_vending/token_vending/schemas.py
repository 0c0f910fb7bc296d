"""A strict reading of JSON by a schema: the part of JSON Schema 2020-12 that our own schema uses, and no more.

A keyword that is not known here is a KeyError: a schema never says more than is checked.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

type Schema = Mapping[str, Any]
type Fault = tuple[str, str]
"""The path of the field, and what it must be."""

_ANNOTATIONS = frozenset({"$schema", "$id", "$defs", "title", "description", "examples"})
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_SHOWN_NAME = re.compile(r"[$A-Za-z_][A-Za-z0-9_.-]{0,39}")


def first_fault(value: Any, schema: Schema) -> Fault | None:  # noqa: ANN401 - any JSON
    """The first field that is not as the schema says; None if all are."""
    return next(_faults(value, schema, schema, ""), None)


def _faults(value: Any, schema: Schema, root: Schema, at: str) -> Iterator[Fault]:  # noqa: ANN401
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    wanted = schema.get("description", "as the schema says")
    for keyword, rule in schema.items():
        if keyword in _ANNOTATIONS:
            continue
        if keyword in _DEEPER:
            yield from _DEEPER[keyword](value, schema, root, at)
        elif not _RULES[keyword](value, rule, root):
            yield at, wanted
            return  # what depends on it would only say the same


def _is(value: Any, kind: str) -> bool:  # noqa: ANN401
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, _TYPES[kind])


def _has_type(value: Any, kinds: str | list[str], _root: Schema) -> bool:  # noqa: ANN401
    return any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _fits_any(value: Any, alternatives: list[Schema], root: Schema) -> bool:  # noqa: ANN401
    return any(next(_faults(value, each, root, ""), None) is None for each in alternatives)


def _members(value: Any, schema: Schema, root: Schema, at: str) -> Iterator[Fault]:  # noqa: ANN401
    if not isinstance(value, dict):
        return
    for name, member in value.items():
        path = f"{at}.{name}" if at else name
        if name in schema.get("properties", {}):
            yield from _faults(member, schema["properties"][name], root, path)
        elif schema.get("additionalProperties") is False:
            shown = path if _SHOWN_NAME.fullmatch(name) else f"{at}.<a name that is not repeated here>"
            yield shown, f"left out; known here: {', '.join(schema['properties'])}"
        elif "additionalProperties" in schema:
            yield from _faults(member, schema["additionalProperties"], root, path)


def _names(value: Any, schema: Schema, root: Schema, at: str) -> Iterator[Fault]:  # noqa: ANN401
    for name in value if isinstance(value, dict) else ():
        yield from _faults(name, schema["propertyNames"], root, at)


def _required(value: Any, schema: Schema, root: Schema, at: str) -> Iterator[Fault]:  # noqa: ANN401, ARG001
    for name in schema["required"] if isinstance(value, dict) else ():
        if name not in value:
            yield f"{at}.{name}" if at else name, "there"


def _items(value: Any, schema: Schema, root: Schema, at: str) -> Iterator[Fault]:  # noqa: ANN401
    for number, item in enumerate(value if isinstance(value, list) else ()):
        yield from _faults(item, schema["items"], root, f"{at}[{number}]")


_RULES: dict[str, Callable[[Any, Any, Schema], bool]] = {
    "type": _has_type,
    "anyOf": _fits_any,
    "enum": lambda value, rule, _: value in rule,
    "pattern": lambda value, rule, _: not isinstance(value, str) or re.search(rule, value) is not None,
    "maxLength": lambda value, rule, _: not isinstance(value, str) or len(value) <= rule,
    "minimum": lambda value, rule, _: not _is(value, "number") or value >= rule,
    "maximum": lambda value, rule, _: not _is(value, "number") or value <= rule,
    "minItems": lambda value, rule, _: not isinstance(value, list) or len(value) >= rule,
    "maxItems": lambda value, rule, _: not isinstance(value, list) or len(value) <= rule,
    "minProperties": lambda value, rule, _: not isinstance(value, dict) or len(value) >= rule,
    "maxProperties": lambda value, rule, _: not isinstance(value, dict) or len(value) <= rule,
}
_DEEPER: dict[str, Callable[[Any, Schema, Schema, str], Iterator[Fault]]] = {
    "properties": _members,
    "additionalProperties": lambda value, schema, root, at: (
        iter(()) if "properties" in schema else _members(value, schema, root, at)
    ),
    "propertyNames": _names,
    "required": _required,
    "items": _items,
}
