"""The wire format that the two doors of the vending function share.

Source: docs/openapi.yaml and docs/schemas/ of the repository. Nothing here quotes a value it was given: a malformed
answer may well hold a token. The exceptions are the words of an error of the contract and the name of any other, and
those only as far as they are printable and short: whoever answers may not be who was asked. What was read is held in
types that do not show themselves when locals are captured.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from . import _errors as errors
from ._errors import ConfigurationError, TokenClientError, UnexpectedAnswer, VendingUnavailable
from ._token import HiddenFields, HiddenText, Token

# The contract's error names, and what each is to a caller. Names that are not here (an unhandled exception, a
# Lambda timeout) are failures of the function.
_ERRORS: Mapping[str, type[TokenClientError]] = {
    "TokenUnavailable": errors.TokenUnavailable,
    "CallerNotAllowed": errors.CallerNotAllowed,
    "InvalidRequest": errors.InvalidRequest,
    "ConfigurationError": ConfigurationError,
    "CredentialsRefused": ConfigurationError,
    "StoreUnavailable": VendingUnavailable,
    "VendorUnavailable": VendingUnavailable,
    "VendorProtocolError": VendingUnavailable,
}

# A class name, dotted or not, as Lambda's runtimes give in errorType: Sandbox.Timedout, Runtime.ExitError.
_ERROR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:]{0,79}", re.ASCII)
_NAMELESS = "an error without a name"

# Longer texts end in an ellipsis. The function's longest has half of that.
LONGEST_MESSAGE = 500

# Secrets Manager's version ids have 32 to 64 characters.
LONGEST_VERSION = 256

# The longest the vending side ever advises is its minimum age of a token, minutes to hours. More is from somebody else.
LONGEST_ADVICE_SECONDS = 86_400.0

# Redirects (they are not followed) and addresses that lead nowhere.
_NOT_OUR_DOOR = {*range(300, 400), HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is asked of the vending function: what became of the version the API has just refused, if one is named; and
    a refresh, should the token live for less than ``min_seconds``.
    """

    rejected_version: str | None = None
    min_seconds: int | None = None

    def payload(self) -> dict[str, str | int]:
        """The direct-invoke event: only what is set."""
        fields = {"rejected_version": self.rejected_version, "min_seconds": self.min_seconds}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Answer:
    """A token as handed out, the seconds of life it had left then (preferred to ``token.expires_at`` for decisions: it
    does not depend on two clocks agreeing), and how long it may be kept without asking again.
    """

    token: Token
    expires_in: float
    cache_seconds: float


class TokenSource(Protocol):
    """Where tokens come from. Used by one thread at a time."""

    def fetch(self, request: TokenRequest) -> Answer:
        """Ask once. Raises a ``TokenClientError``, and nothing else on purpose."""


def parse_answer(body: bytes | str) -> Answer:
    """Read the answer of either door. Unknown fields are ignored, so that a newer function can add some.

    Raises UnexpectedAnswer, which names no more than the field: it is not JSON, or one is missing or not of its type.
    """
    document = _json_object(body)
    if not document:
        raise UnexpectedAnswer("the vending function's answer is not a JSON object")
    access_token = HiddenText(_text_of(document, "access_token"))
    if not access_token.isascii() or not access_token.isprintable() or not access_token:
        raise UnexpectedAnswer("the vending function's answer holds an access_token that fits in no header")
    if _text_of(document, "token_type").lower() != "bearer":
        raise UnexpectedAnswer("the vending function's answer is not a bearer token")
    version = _text_of(document, "version")
    # It goes into logs, exceptions and a header.
    if not version or not version.isascii() or not version.isprintable() or len(version) > LONGEST_VERSION:
        raise UnexpectedAnswer("the vending function's answer has a version that is empty or no name")
    return Answer(
        token=Token(access_token, version=version, expires_at=_instant(document, "expires_at")),
        expires_in=_seconds(document, "expires_in"),
        cache_seconds=_seconds(document, "cache_seconds"),
    )


def error_named(name: str, message: object = None, *, retry_after: float | None = None) -> TokenClientError:
    """The exception for an error name of the contract, with the function's own words. Unknown names are failures of the
    function; their text is not ours, nobody can tell what is in it, and so it is dropped.
    """
    kind = _ERRORS.get(name)
    if kind is None:
        name = name if _ERROR_NAME.fullmatch(name) else _NAMELESS
        failed = f"the vending function failed ({name}); its log says why"
        return VendingUnavailable(failed, retry_after=retry_after, remote_error=name)
    text = f"{name}: {_printable(message)}" if isinstance(message, str) and message else name
    return kind(text, retry_after=retry_after, remote_error=name)


def function_error(payload: bytes | str) -> TokenClientError:
    """The exception for a direct invoke that carried the ``FunctionError`` header: by the function's own JSON in
    ``errorMessage``, otherwise by ``errorType``, which runtimes may replace.
    """
    document = _json_object(payload)
    told = _json_object(document.get("errorMessage"))
    if isinstance(name := told.get("error"), str):
        return error_named(name, told.get("message"), retry_after=_retry_after(told.get("retry_after")))
    error_type = document.get("errorType")
    return error_named(error_type if isinstance(error_type, str) else _NAMELESS)


def problem(status: int, body: bytes | str, retry_after_header: str | None) -> TokenClientError:
    """The exception for an HTTP answer that is not 200: by the function's own name for it, or by the status, as for a
    gateway's own error page.
    """
    document = _json_object(body)
    retry_after = _retry_after(document.get("retry_after"))
    if retry_after is None:
        retry_after = _retry_after(retry_after_header)
    name = document.get("error")
    if isinstance(name, str) and name:
        return error_named(name, document.get("detail"), retry_after=retry_after)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return errors.CallerNotAllowed(
            f"AWS refused this caller's signature or permission (HTTP {status}): the caller needs both"
            " lambda:InvokeFunctionUrl and lambda:InvokeFunction on the alias url, for example by the stack's"
            " URL caller policy (output UrlCallerPolicyArn)"
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return VendingUnavailable(f"the vending function answered HTTP {status}", retry_after=retry_after)
    if status in _NOT_OUR_DOOR:
        return ConfigurationError(f"the URL answered HTTP {status}: it is not a vending function's")
    return UnexpectedAnswer(f"the vending function answered HTTP {status}")


def _printable(text: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text[:LONGEST_MESSAGE])
    return shown if len(text) <= LONGEST_MESSAGE else f"{shown}…"


def _json_object(text: object) -> HiddenFields:
    """Empty if it is none."""
    try:
        document = json.loads(text, object_hook=HiddenFields) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        document = None
    return document if isinstance(document, HiddenFields) else HiddenFields()


def _text_of(document: HiddenFields, name: str) -> str:
    if not isinstance(document.get(name), str):
        raise UnexpectedAnswer(f"the vending function's answer has no {name}, or not as text")
    return str(document[name])


def _seconds(document: HiddenFields, name: str) -> float:
    value = document.get(name)
    # bool is a subclass of int; the bound keeps NaN and infinity out as well.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**11:
        raise UnexpectedAnswer(f"the vending function's answer has no {name}, or not in seconds")
    return float(value)


def _instant(document: HiddenFields, name: str) -> datetime:
    text = _text_of(document, name)
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):  # no instant, or none of the years 1 to 9999 in UTC
        pass
    raise UnexpectedAnswer(f"the vending function's answer has no {name} in RFC 3339")


def _retry_after(value: object) -> float | None:
    """Seconds from a JSON number or a Retry-After header; a header with a date (a gateway's) counts as none
    given, and more than a day as a day.
    """
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        # Python refuses to read thousands of digits; ten are far too many already.
        value = int(value[:10])
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(min(value, LONGEST_ADVICE_SECONDS))
