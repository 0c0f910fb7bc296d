"""The JSON that the two secrets hold: how it is written, and how it is read back without trust.

Somebody may have edited a secret by hand. What cannot be read as ours is a ConfigurationError that names the field
and what to do, and shows no value.
"""

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from token_vending.errors import ConfigurationError
from token_vending.token import History, Intent, Token, from_rfc3339, to_rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from token_vending.credentials import CredentialField, Credentials

# Compiled by `re` when first used: most hand-outs need none of them.
_CONTROL = r"[\x00-\x1f\x7f]"
_SURROGATE = r"[\ud800-\udfff]"

_CORRECT_RECORD = (
    "Put AWSCURRENT back on the version that held a token (aws secretsmanager update-secret-version-stage), "
    'or mint anew by invoking the refresh function with {"force": true}.'
)
_CORRECT_CREDENTIALS = (
    "Store it with: aws secretsmanager put-secret-value --secret-id <credentials secret> --secret-string '%s'"
)


def write_token(token: Token) -> str:
    """The secret string of a token version; design: one JSON object, RFC 3339 UTC times."""
    return json.dumps(
        {
            "access_token": token.access_token(),
            "token_type": "Bearer",
            "issued_at": to_rfc3339(token.issued_at),
            "expires_at": to_rfc3339(token.expires_at),
            "user_id": token.user_id,
            "credentials_version": token.credentials_version,
            "reason": token.reason,
            "run": token.run,
            "suspect_until": to_rfc3339(token.suspect_until) if token.suspect_until else None,
            **_history_fields(token.history),
        }
    )


def write_intent(intent: Intent) -> str:
    """The secret string of an intent: `{"intent": run id, "started_at", "reason", "attempt"}` and the history."""
    return json.dumps(
        {
            "intent": intent.run,
            "started_at": to_rfc3339(intent.started_at) if intent.started_at else None,
            "reason": intent.reason,
            "attempt": intent.attempt,
            **_history_fields(intent.history),
        }
    )


def read_record(version: str, secret_string: str | None) -> Token | Intent | None:
    """What a version of the token secret holds; None for an empty text, which some deployments start with.

    Raises ConfigurationError naming the field that is missing or wrong.
    """
    if secret_string == "":
        return None
    fields = _object(secret_string, f"Version {version} of the token secret", _CORRECT_RECORD)
    if "intent" in fields and "access_token" not in fields:
        return _read_intent(version, fields)

    def fault(name: str, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"Version {version} of the token secret is not a token this stack wrote: "
            f"field {name!r} {what}. {_CORRECT_RECORD}"
        )

    def text(name: str) -> str:
        value = fields.get(name)
        if not isinstance(value, str) or not value:
            raise fault(name, "is missing" if name not in fields else "is not a non-empty string")
        return value

    def moment(name: str) -> datetime:
        try:
            return from_rfc3339(text(name))
        except (ValueError, OverflowError):
            raise fault(name, "is not an RFC 3339 time with an offset") from None

    if fields.get("token_type", "Bearer") != "Bearer":
        raise fault("token_type", "is not 'Bearer'")
    user_id = fields.get("user_id")
    reason, run = fields.get("reason"), fields.get("run")
    return Token(
        version=version,
        issued_at=moment("issued_at"),
        expires_at=moment("expires_at"),
        credentials_version=text("credentials_version"),
        reason=reason if isinstance(reason, str) else "",
        run=run if isinstance(run, str) else "",
        user_id=user_id if isinstance(user_id, str) else None,
        suspect_until=moment("suspect_until") if fields.get("suspect_until") is not None else None,
        history=_read_history(fields),
        _secret=text("access_token"),
    )


def read_credentials(
    version: str,
    secret_string: str | None,
    *,
    account: str = "",
    wanted: "Sequence[CredentialField] | None" = None,
) -> "Credentials":
    """The credentials secret: `{"email" or "username", "password"}`, or the fields that are wanted. Others are ignored.

    Raises ConfigurationError naming the field and the command that corrects it.
    """
    from token_vending.credentials import EMAIL_AND_PASSWORD, Credentials  # noqa: PLC0415 - the hand-out reads none

    wanted = EMAIL_AND_PASSWORD if wanted is None else wanted
    name, advice = f"The {account + ' ' if account else ''}credentials secret", _how_to_set(wanted)
    given = _object(secret_string, name, advice)
    fields: dict[str, str] = {}
    for field in wanted:
        source = field.also if field.also in given and field.name not in given else field.name
        if source in given or not field.optional:
            fault = "is missing" if source not in given else _fault_of(given[source], no_colon=field.no_colon)
            if fault:
                raise ConfigurationError(f"{name}: field {source!r} {fault}. {advice}")
            fields[field.name] = given[source]
    return Credentials(version=f"{account}:{version}" if account else version, fields=fields)


def _fault_of(value: object, *, no_colon: bool) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return "is not a non-empty string"
    if re.search(_CONTROL, value):
        return "holds a control character (a newline from a file?), which HTTP Basic cannot carry (RFC 7617)"
    if re.search(_SURROGATE, value):
        return "is not valid Unicode"
    if no_colon and ":" in value:
        return "holds a colon, which HTTP Basic cannot carry in a user name (RFC 7617 §2)"
    return None


def no_credentials(secret_id: str, wanted: "Sequence[CredentialField] | None" = None) -> ConfigurationError:
    """The error for a credentials secret that has no value yet, or does not exist."""
    from token_vending.credentials import EMAIL_AND_PASSWORD  # noqa: PLC0415 - the hand-out reads none

    advice = _how_to_set(EMAIL_AND_PASSWORD if wanted is None else wanted)
    return ConfigurationError(f"The credentials secret {secret_id} was never set. {advice}")


def _how_to_set(wanted: "Sequence[CredentialField]") -> str:
    return _CORRECT_CREDENTIALS % json.dumps({field.name: "..." for field in wanted if not field.optional})


def _read_intent(version: str, fields: dict[str, Any]) -> Intent:
    return Intent(
        version=version,
        run=str(fields["intent"]),
        started_at=_moment(fields.get("started_at")),
        reason=str(fields.get("reason", "")),
        history=_read_history(fields),
        attempt=str(fields.get("attempt", "")),
    )


def _history_fields(history: History) -> dict[str, Any]:
    return {
        "format": 2,
        "caller_mints": [to_rfc3339(at) for at in history.caller_mints],
        "failures": history.failures,
        "failing_since": to_rfc3339(history.failing_since) if history.failing_since else None,
    }


def _read_history(fields: dict[str, Any]) -> History:
    """What can be read of it. Records of earlier releases have none, and a bad field must not cost a token."""
    times = fields.get("caller_mints")
    moments = [_moment(text) for text in times] if isinstance(times, list) else []
    return History(
        caller_mints=tuple(sorted(at for at in moments if at is not None)),
        failures=_count(fields.get("failures")),
        failing_since=_moment(fields.get("failing_since")),
    )


def _moment(text: object) -> datetime | None:
    try:
        return from_rfc3339(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 10**6 else 0


def _object(secret_string: str | None, name: str, advice: str) -> dict[str, Any]:
    try:
        fields = json.loads(secret_string) if secret_string is not None else None
    except (ValueError, RecursionError):
        # `from None`: the parser's error carries the whole text in its `doc`.
        raise ConfigurationError(f"{name} is not valid JSON. {advice}") from None
    if not isinstance(fields, dict):
        raise ConfigurationError(f"{name} is not a JSON object in SecretString. {advice}")
    return fields
