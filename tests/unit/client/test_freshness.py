from __future__ import annotations

from datetime import UTC, datetime

import pytest

from token_client._freshness import Freshness, Held, judge
from token_client._token import Token
from token_client._wire import Answer

ASKED_AT = 1_000_000.0


def held(*, expires_in: float = 3600, cache_seconds: float = 300, chance: float = 0.0) -> Held:
    token = Token("t", version="v", expires_at=datetime.fromtimestamp(ASKED_AT + expires_in, tz=UTC))
    return Held.since(Answer(token, expires_in=expires_in, cache_seconds=cache_seconds), ASKED_AT, chance)


@pytest.mark.parametrize(
    ("kept", "refused", "seconds_later", "verdict"),
    [
        (None, "", 0, Freshness.ABSENT),
        (held(), "", 0, Freshness.FRESH),
        (held(), "", 224.9, Freshness.FRESH),
        (held(), "", 225, Freshness.AGING),
        (held(), "", 299.9, Freshness.AGING),
        (held(), "", 300, Freshness.STALE),
        (held(), "", 3599.9, Freshness.STALE),
        (held(), "", 3600, Freshness.EXPIRED),
        (held(), "", -0.5, Freshness.FRESH),
        (held(), "", -5, Freshness.STALE),
        (held(), "uv", 0, Freshness.REJECTED),
        (held(), "uw", 0, Freshness.FRESH),
        (held(), "v", 3600, Freshness.EXPIRED),
        (held(expires_in=100), "", 75, Freshness.AGING),
        (held(cache_seconds=0), "", 0, Freshness.STALE),
        (held(chance=0.999), "", 269, Freshness.FRESH),
        (held(chance=0.999), "", 270, Freshness.AGING),
    ],
)
def test_the_verdict_goes_by_the_clock_and_what_was_refused(
    kept: Held | None, refused: str, seconds_later: float, verdict: Freshness
) -> None:
    assert judge(kept, refused, ASKED_AT + seconds_later) is verdict
