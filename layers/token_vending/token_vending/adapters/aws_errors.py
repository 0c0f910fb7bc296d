"""What the person who is paged reads of a failed AWS call: the operation, AWS's error code, and what to do."""

import json
import re
from typing import Any

from token_vending.errors import StoreUnavailable

_CODE = re.compile(r"[^A-Za-z0-9.]")
_RETRY_AFTER = 5
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
)

_ADVICE = {
    "AccessDeniedException": "Allow the function's role this action on {target}, and its KMS key.",
    "DecryptionFailure": "Check that the KMS key of {target} is enabled and that the role may use it.",
    "EncryptionFailure": "Check that the KMS key of {target} is enabled and that the role may use it.",
    "LimitExceededException": "A quota of Secrets Manager is reached for {target}.",
    "ThrottlingException": "Secrets Manager is throttling this account; it passes by itself.",
    "InvalidRequestException": "Check that {target} is not scheduled for deletion (aws secretsmanager restore-secret).",
}


def refused(operation: str, target: str, code: str, status: int) -> StoreUnavailable:
    """AWS answered with an error. Only its code is repeated: a message is somebody else's text."""
    shown = _CODE.sub("", code)[:64] or f"HTTP status {status}"
    advice = _ADVICE.get(shown, "").format(target=target)
    return StoreUnavailable(f"{operation} failed: {shown}. {advice}".strip(), retry_after=_RETRY_AFTER)


def no_answer(operation: str, kind: str) -> StoreUnavailable:
    """AWS did not answer, or not in its own protocol. `kind` is the foreign exception's class name."""
    return StoreUnavailable(f"{operation} got no usable answer ({kind}).", retry_after=_RETRY_AFTER)


def answered_without(operation: str, field: str) -> StoreUnavailable:
    """AWS answered a success that lacks what its documentation promises."""
    return StoreUnavailable(f"{operation} answered without {field}.", retry_after=_RETRY_AFTER)


def passes(status: int, body: bytes) -> bool:
    """Whether an answer says that the same call may succeed in a moment."""
    return status in _TRANSIENT or error_code(body) in _THROTTLED


def error_code(body: bytes) -> str:
    """AWS's error code from a JSON error body: `__type`, possibly `prefix#Code`, or Lambda's `Type`."""
    fields = json_object(body)
    code = fields.get("__type") or fields.get("code") or fields.get("Type") or ""
    return str(code).rpartition("#")[2]


def json_object(body: bytes) -> dict[str, Any]:
    """Empty for anything else."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
