from __future__ import annotations

from datetime import UTC, datetime

import pytest

from token_client._freshness import Freshness, Held, judge
from token_client._token import Token
from token_client._wire import Answer

ASKED_AT = 1_000_000.0


def held(
    *, expires_in: float = 3600, cache_seconds: float = 300, chance: float = 0.0, version: str = "v"
) -> Held:
    token = Token("t", version=version, expires_at=datetime.fromtimestamp(ASKED_AT + expires_in, tz=UTC))
    return Held.since(Answer(token, expires_in=expires_in, cache_seconds=cache_seconds), ASKED_AT, chance)


@pytest.mark.parametrize(
    ("seconds_later", "verdict"),
    [
        (0, Freshness.FRESH),
        (224.9, Freshness.FRESH),
        (225, Freshness.AGING),
        (299.9, Freshness.AGING),
        (300, Freshness.STALE),
        (3599.9, Freshness.STALE),
        (3600, Freshness.EXPIRED),
        (10**9, Freshness.EXPIRED),
        (-0.5, Freshness.FRESH),
        (-5, Freshness.STALE),
    ],
)
def test_the_verdict_goes_by_the_clock(seconds_later: float, verdict: Freshness) -> None:
    assert judge(held(), (), ASKED_AT + seconds_later) is verdict


def test_without_a_token_the_freshness_is_absent() -> None:
    assert judge(None, (), ASKED_AT) is Freshness.ABSENT


def test_a_refused_version_is_rejected_however_fresh() -> None:
    assert judge(held(version="v"), ("u", "v"), ASKED_AT) is Freshness.REJECTED
    assert judge(held(version="w"), ("u", "v"), ASKED_AT) is Freshness.FRESH


def test_an_expired_token_is_expired_also_when_it_was_refused() -> None:
    assert judge(held(version="v"), ("v",), ASKED_AT + 3600) is Freshness.EXPIRED


def test_a_token_is_not_kept_beyond_its_life() -> None:
    assert held(expires_in=100, cache_seconds=300).stale_at == ASKED_AT + 100


def test_chance_moves_the_renewal_within_its_range_and_leaves_time_for_it() -> None:
    assert held(chance=0.0).renew_at == ASKED_AT + 225
    assert held(chance=0.999).renew_at == pytest.approx(ASKED_AT + 270, abs=0.1)


def test_a_token_that_may_not_be_kept_is_stale_at_once() -> None:
    assert judge(held(cache_seconds=0), (), ASKED_AT) is Freshness.STALE


def test_only_fresh_aging_and_stale_are_good() -> None:
    assert {verdict for verdict in Freshness if verdict.is_good} == {
        Freshness.FRESH,
        Freshness.AGING,
        Freshness.STALE,
    }
