"""The cost model: its arithmetic at points where the answer is known without it."""

import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cost, report
from bench.cost import Scenario
from scripts import template as cloudformation
from token_client import _freshness
from token_vending import telemetry

USUAL = Scenario(callers=10, calls_per_hour=3600, client_cache_seconds=9, vend_cache_seconds=99)


def test_who_keeps_nothing_fetches_at_every_call() -> None:
    rates = cost.load(replace(USUAL, client_cache_seconds=0))
    assert rates.vends == pytest.approx(rates.calls) == pytest.approx(10)
    assert rates.client_hit_ratio == pytest.approx(0)
    # Kept for nine seconds and asked for every second, it is fetched every tenth time.
    kept = replace(USUAL, client_cache_seconds=9 / cost.CLIENT_RENEWS_AT)
    assert cost.load(kept).client_hit_ratio == pytest.approx(0.9)


def test_the_client_renews_when_the_model_says() -> None:
    assert pytest.approx(_freshness.ADVISORY_FROM + _freshness.ADVISORY_SPREAD / 2) == cost.CLIENT_RENEWS_AT


@pytest.mark.parametrize(("vends", "environments"), [(0, 0), (0.1, 2), (10, 2), (100, 10), (10_000, 1_000)])
def test_an_environment_serves_at_most_ten_requests_a_second(vends: float, environments: int) -> None:
    assert cost.environments_for(vends) == environments


def test_reads_of_the_secret_are_bounded_by_the_environments_whatever_the_callers() -> None:
    for callers in (10, 1_000, 100_000):
        rates = cost.load(replace(USUAL, callers=callers))
        assert rates.secret_reads <= rates.environments / USUAL.vend_cache_seconds


def test_nobody_calling_costs_the_standing_charges_only() -> None:
    rates = cost.load(replace(USUAL, callers=0))
    assert (rates.vends, rates.secret_reads, rates.environments) == (0, 0, 0)
    assert sum(cost.monthly(replace(USUAL, callers=0)).values()) == pytest.approx(9.9, abs=0.5)


def test_the_alternatives_do_not_pay_for_our_environments_kept_ready() -> None:
    without = cost.alternatives(USUAL)
    ready = cost.alternatives(replace(USUAL, provisioned=2, snap_start=True))
    assert ready.pop("this product") == pytest.approx(without.pop("this product") + 8.76 + 1.98, abs=0.02)
    assert ready == without


def test_what_watches_is_counted_as_the_template_has_it() -> None:
    kinds = {name: resource["Type"] for name, resource in cloudformation.source()["Resources"].items()}
    alarms = {name for name, kind in kinds.items() if kind == "AWS::CloudWatch::Alarm"}
    of_the_hand_out = {name for name in alarms if name.startswith(("Vend", "Denials"))}
    counted = Counter(kinds.values())
    assert cost.WATCHING.alarms == len(alarms)
    assert cost.WATCHING_THE_REFRESH.alarms == len(alarms - of_the_hand_out)
    assert cost.WATCHING.composites == counted["AWS::CloudWatch::CompositeAlarm"]
    assert cost.WATCHING.dashboards == counted["AWS::CloudWatch::Dashboard"]
    # An alarm is charged by the metrics it looks at: each of these looks at one.
    assert not [
        name for name in alarms if "Metrics" in cloudformation.source()["Resources"][name]["Properties"]
    ]


def test_metrics_are_counted_as_the_functions_write_them() -> None:
    text = Path(telemetry.__file__).read_text(encoding="utf-8")
    written = set(re.findall(r'(?:_count\(|name=)"(\w+)"', text)) | set(re.findall(r"(\w+)=[01]\.0", text))
    of_the_hand_out = {name for name in written if name.startswith("Vend")} | {"TokenVended", "TokenRejected"}
    assert cost.WATCHING.metrics == len(written)
    assert cost.WATCHING_THE_REFRESH.metrics == len(written - of_the_hand_out)


def test_the_limit_is_where_one_caller_more_does_not_fit() -> None:
    fitting = cost.callers_until_a_limit(USUAL)
    assert all(used <= size for _, used, size, _ in cost.limits(replace(USUAL, callers=fitting)))
    assert any(used > size for _, used, size, _ in cost.limits(replace(USUAL, callers=fitting + 1)))
    assert cost.callers_until_a_limit(Scenario(calls_per_hour=1e9, client_cache_seconds=0)) == 0


@pytest.mark.parametrize("argument", ["--callers=-1", "--client-cache=nan", "--vend-cache=inf"])
def test_what_cannot_be_is_refused(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["cost.py", argument])
    with pytest.raises(SystemExit, match="2"):
        cost.main()


def test_every_price_is_used_and_has_its_source_and_all_have_a_date() -> None:
    program = Path(str(cost.__file__)).read_text(encoding="utf-8")
    assert cost.PRICES["as_of"]
    for name, entry in cost.PRICES["prices"].items():
        assert f'"{name}"' in program.replace("'", '"')
        assert entry["source"].startswith("https://aws.amazon.com/"), name
        assert entry["dollars"] > 0, name


def test_the_page_shows_what_the_model_says() -> None:
    assert cost.page() in report.PAGE.read_text(encoding="utf-8"), "run: make cost-page"
