"""An API's login as a document: what is sent, where the token is in the answer, which answers mean what.

`descriptions/` holds those that come with the product, issuer.schema.json what one may say. It can make the
product more careful, never less: an answer that it does not name may have minted.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from token_vending.credentials import CredentialField
from token_vending.errors import ConfigurationError
from token_vending.schemas import first_fault

PERSONR = "personr"
BASE_URL = "{base_url}"
_FOLDER = __file__.rpartition("/")[0]
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)(?:\|([a-z0-9_]+))?(\??)\}")


class Condition(NamedTuple):
    """Answers that mean one thing: by status ("401", "4xx"), and by reason where there are any."""

    statuses: frozenset[str]
    reasons: frozenset[str]

    def names(self, status: int, reason: str | None) -> bool:
        """Whether it speaks of this answer."""
        known = not self.statuses.isdisjoint({f"{status:03}", f"{status // 100}xx"})
        return known and (not self.reasons or reason in self.reasons)


class Basic(NamedTuple):
    """User name and password of HTTP Basic, as templates."""

    user: str
    password: str
    form_encoded: bool


class Place(NamedTuple):
    """Where in an answer a value lies: in a header, or in the JSON body under these names."""

    header: str | None
    names: tuple[str, ...]

    def within(self, fields: Any) -> Any:  # noqa: ANN401 - whatever the vendor's JSON holds
        """What lies there in this JSON; None if nothing does."""
        for name in self.names:
            if isinstance(fields, list) and name.isascii() and name.isdigit() and len(name) < 4:  # noqa: PLR2004
                fields = dict(enumerate(fields)).get(int(name))
            elif isinstance(fields, dict):
                fields = fields.get(name)
            else:
                return None
        return fields


class Description(NamedTuple):
    """One issuer. Field by field what issuer.schema.json says."""

    name: str
    method: str
    url: str
    basic: Basic | None
    headers: Mapping[str, str]
    body: tuple[str, Any]
    """form, multipart or json and its content; "" for none."""
    fields: tuple[CredentialField, ...]
    token: Place
    lifetime: Place | None
    unit: str
    default_lifetime: timedelta
    user_id: Place | None
    reason: Place | None
    reason_in_broken_json: bool
    refused: tuple[Condition, ...]
    misconfigured: tuple[Condition, ...]
    not_taken_on: tuple[Condition, ...]
    dead_token: tuple[Condition, ...]
    destructive: bool
    idle_lifetime: timedelta | None

    @property
    def max_age(self) -> timedelta | None:
        """When to renew a token for its age alone: at seven tenths of the idle lifetime, None without one."""
        return None if self.idle_lifetime is None else timedelta(days=self.idle_lifetime.days * 7 // 10)


def load(issuer: str) -> Description:
    """By the name of a file in descriptions/, or the document itself.

    Raises ConfigurationError naming the field that cannot be used, and what it must be.
    """
    if issuer.startswith("{"):
        return read(issuer, name="given as a document")
    text = _built_in(issuer) if _NAME.fullmatch(issuer) else None
    if text is None:
        raise ConfigurationError(
            "ISSUER is neither the name of a description that was built in, such as "
            f"{PERSONR} or oauth2-client-credentials, nor a JSON document."
        )
    return read(text, name=issuer)


def _built_in(name: str) -> str | None:
    try:
        with open(f"{_FOLDER}/descriptions/{name}.json", encoding="utf-8") as file:  # noqa: PTH123 - at every start
            return file.read()
    except FileNotFoundError:
        return None


def read(text: str, *, name: str) -> Description:
    """A description from its JSON. Raises ConfigurationError as `load` does."""
    try:
        document = json.loads(text, parse_constant=_no_number)
        with open(f"{_FOLDER}/issuer.schema.json", encoding="utf-8") as file:  # noqa: PTH123
            fault = first_fault(document, json.load(file))
    except (ValueError, RecursionError):
        # `from None`: the parser's error carries the document.
        raise ConfigurationError(f"The description of the issuer ({name}) is not valid JSON.") from None
    if fault is not None:
        at = f"field {fault[0]!r}" if fault[0] else "it"
        raise ConfigurationError(f"The description of the issuer ({name}): {at} must be {fault[1]}.")
    return _described(name, document)


def fill(template: str, fields: Mapping[str, str]) -> str | None:
    """The text with the credentials in it; None if one of them is optional and not there."""
    if any(optional and name not in fields for name, _, optional in _PLACEHOLDER.findall(template)):
        return None
    return _PLACEHOLDER.sub(lambda found: fields[found[1]], template)


def fill_json(template: Any, fields: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """The same for every text in it. A member whose text is None is left out."""
    if isinstance(template, str):
        return fill(template, fields)
    if isinstance(template, dict):
        filled = {name: (value, fill_json(value, fields)) for name, value in template.items()}
        return {
            name: after for name, (before, after) in filled.items() if before is None or after is not None
        }
    if isinstance(template, list):
        pairs = [(value, fill_json(value, fields)) for value in template]
        return [after for before, after in pairs if before is None or after is not None]
    return template


def _described(name: str, document: dict[str, Any]) -> Description:
    request, answer = document["request"], document["answer"]
    basic = Basic(**{"form_encoded": False, **request["basic"]}) if "basic" in request else None
    lifetime, reason = answer.get("lifetime"), answer.get("reason")
    kind, content = next(iter(request.get("body", {}).items()), ("", None))
    idle = document.get("idle_lifetime_days")
    return Description(
        name=name,
        method=request.get("method", "POST"),
        url=request["url"],
        basic=basic,
        headers=request.get("headers", {}),
        body=(kind, content),
        fields=_fields(basic, [request.get("headers", {}), content]),
        token=_place(answer["token"]),
        lifetime=_place(lifetime) if lifetime else None,
        unit=lifetime["unit"] if lifetime else "seconds",
        default_lifetime=timedelta(seconds=answer["default_lifetime_seconds"]),
        user_id=_place(answer["user_id"]) if "user_id" in answer else None,
        reason=_place(reason) if reason else None,
        reason_in_broken_json=bool(reason and reason.get("in_broken_json")),
        refused=_conditions(document, "refused"),
        misconfigured=_conditions(document, "misconfigured"),
        not_taken_on=_conditions(document, "not_taken_on"),
        dead_token=_conditions(document, "dead_token"),
        destructive=document.get("destructive", True),
        idle_lifetime=None if idle is None else timedelta(days=idle),
    )


def _conditions(document: dict[str, Any], meaning: str) -> tuple[Condition, ...]:
    return tuple(
        Condition(frozenset(each["status"]), frozenset(each.get("reason", ())))
        for each in document.get(meaning, ())
    )


def _place(place: Mapping[str, str]) -> Place:
    names = place.get("pointer", "").split("/")[1:]
    return Place(place.get("header"), tuple(n.replace("~1", "/").replace("~0", "~") for n in names))


def _fields(basic: Basic | None, templates: list[Any]) -> tuple[CredentialField, ...]:
    """What the secret must hold, in the order in which it is first named."""
    fields: dict[str, CredentialField] = {}
    user = [(basic.user, not basic.form_encoded), (basic.password, False)] if basic else []
    for template, no_colon in [*user, *((text, False) for text in _texts(templates))]:
        for name, also, optional in _PLACEHOLDER.findall(template):
            known = fields.get(name, CredentialField(name, optional=True))
            fields[name] = CredentialField(
                name, also or known.also, known.optional and bool(optional), known.no_colon or no_colon
            )
    return tuple(fields.values())


def _texts(template: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(template, str):
        yield template
    for each in (
        template.values() if isinstance(template, dict) else template if isinstance(template, list) else ()
    ):
        yield from _texts(each)


def _no_number(constant: str) -> None:
    raise ValueError(constant)
