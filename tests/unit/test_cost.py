"""The cost model: its arithmetic at points where the answer is known without it."""

from dataclasses import replace

import pytest

import cost
from cost import Scenario

USUAL = Scenario(callers=10, calls_per_hour=3600, client_cache_seconds=9, vend_cache_seconds=99)


def test_who_keeps_nothing_fetches_at_every_call() -> None:
    rates = cost.load(replace(USUAL, client_cache_seconds=0))
    assert rates.vends == pytest.approx(rates.calls) == pytest.approx(10)
    assert rates.client_hit_ratio == pytest.approx(0)


def test_who_keeps_a_token_for_nine_seconds_and_calls_every_second_fetches_every_tenth_time() -> None:
    assert cost.load(USUAL).client_hit_ratio == pytest.approx(0.9)


def test_reads_of_the_secret_are_bounded_by_the_environments_whatever_the_callers() -> None:
    for callers in (10, 1_000, 100_000):
        rates = cost.load(replace(USUAL, callers=callers))
        assert rates.secret_reads <= rates.environments / USUAL.vend_cache_seconds


def test_nobody_calling_costs_the_standing_charges_only() -> None:
    rates = cost.load(replace(USUAL, callers=0))
    assert (rates.vends, rates.secret_reads, rates.environments) == (0, 0, 0)
    assert sum(cost.monthly(replace(USUAL, callers=0)).values()) == pytest.approx(6.2, abs=0.5)


def test_every_alternative_includes_the_refresh() -> None:
    idle = cost.alternatives(replace(USUAL, callers=0))
    assert idle["this product"] == idle["every caller reads the secret at every call"]
    assert min(idle.values()) == idle["this product"]


def test_the_limit_is_where_one_caller_more_does_not_fit() -> None:
    fitting = cost.callers_until_a_limit(USUAL)
    assert all(used <= size for _, used, size, _ in cost.limits(replace(USUAL, callers=fitting)))
    assert any(used > size for _, used, size, _ in cost.limits(replace(USUAL, callers=fitting + 1)))


def test_every_price_has_its_source_and_all_have_a_date() -> None:
    assert cost.PRICES["as_of"]
    for name, entry in cost.PRICES["prices"].items():
        assert entry["source"].startswith("https://aws.amazon.com/"), name
        assert entry["dollars"] > 0, name


def test_the_page_shows_what_the_model_says() -> None:
    text = cost.PAGE.read_text(encoding="utf-8")
    assert cost.page() in text, "run: make cost ARGS=--write-page"
