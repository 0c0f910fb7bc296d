"""What no log, queue or message may hold: every password, Basic value and token, in each form a text gives it."""

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote

SHORTEST = 8
"""Tests put credentials and tokens of one letter, too; those would be found by chance."""
NAMES = ("email", "username", "client_id")
"""Fields of a credentials secret that name the account. Every other one is a secret."""


def secret_texts(
    credentials: Iterable[str | bytes], records: Iterable[str | bytes], tokens: Iterable[str]
) -> list[str]:
    """Every text to search for, sorted.

    Args:
        credentials: whatever was put into a credentials secret, well-formed or not.
        records: whatever was put into the token secret.
        tokens: what the vendor has minted.
    """
    plain = set(tokens)
    for content in credentials:
        plain |= _of_credentials(_parsed(content))
    for content in records:
        record = _parsed(content)
        if isinstance(record, dict):
            plain.add(str(record.get("access_token")))
    forms = {form for text in plain if len(text) >= SHORTEST for form in _forms(text)}
    return sorted(forms)


def _of_credentials(held: object) -> set[str]:
    if not isinstance(held, dict):
        return set()
    names = {str(held[name]) for name in NAMES if name in held}
    passwords = {str(value) for name, value in held.items() if name not in NAMES}
    pairs = {f"{name}:{password}" for name in names for password in passwords}
    return {*passwords, *pairs, *(base64.b64encode(pair.encode()).decode() for pair in pairs)}


def _parsed(content: str | bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _forms(text: str) -> set[str]:
    return {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], quote(text)}
