from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from token_client import Token

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "bus|1700000000000x123|secret"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def token(text: str = SECRET) -> Token:
    return Token(text, version="v1", expires_at=NOON)


def test_the_plaintext_leaves_by_its_method_only() -> None:
    assert token().access_token() == SECRET
    for shown in (repr(token()), str(token()), f"{token()}", f"{[token()]}", str(copy.deepcopy(token()))):
        assert shown.count(SECRET) == 0


@pytest.mark.parametrize("dump", [pickle.dumps, json.dumps, vars])
def test_a_token_is_not_pickled_nor_turned_into_json_or_a_dictionary(dump: Callable[[Token], object]) -> None:
    with pytest.raises(TypeError):
        dump(token())


@pytest.mark.parametrize("name", ["version", "expires_at", "anything"])
def test_a_token_does_not_change(name: str) -> None:
    frozen: Any = token()
    with pytest.raises(AttributeError):
        setattr(frozen, name, "other")


def test_two_are_equal_when_all_of_them_is() -> None:
    assert token() == token()
    assert hash(token()) == hash(token())
    assert token().fingerprint == token().fingerprint
    for other in (token("another"), Token(SECRET, version="v1", expires_at=NOON + timedelta(seconds=1))):
        assert token() != other
    assert token().fingerprint != token("another").fingerprint


def test_an_expiry_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Token(SECRET, version="v1", expires_at=datetime(2030, 1, 1))  # noqa: DTZ001 - that is the point
