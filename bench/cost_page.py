"""Writes the standing scenarios of the cost model into docs/evidence/performance.md: `make cost-page`."""

import sys
from dataclasses import replace

from bench import report
from bench.cost import (
    MEMORY_GB,
    NEW_ENVIRONMENTS_IN_TEN_SECONDS,
    PRICES,
    WATCHING,
    WATCHING_THE_REFRESH,
    Scenario,
    alternatives,
    callers_until_a_limit,
    limits,
    load,
    monthly,
    price,
)
from scripts.pages import put, table

STANDING = {
    "5 callers, a call a minute": Scenario(5, 60),
    "50 callers, 10 calls a minute": Scenario(50, 600),
    "50 callers that keep nothing": Scenario(50, 600, client_cache_seconds=0),
    "1,000 callers, 1 call a second": Scenario(1_000, 3600),
    "1,000 callers that keep nothing": Scenario(1_000, 3600, client_cache_seconds=0),
    "20,000 callers, 1 call a second": Scenario(20_000, 3600),
}


HEADS = (
    "callers | calls/s | hand-outs/s | kept by callers | secret reads/s | kept by the function | environments | "
    "$ a month | such callers until a limit"
)


def page() -> str:
    """As Markdown."""
    first, greedy = (STANDING[n] for n in ("5 callers, a call a minute", "1,000 callers that keep nothing"))
    further = _sum(replace(first, shared=True))
    names = list(alternatives(first))
    return "\n".join(
        [
            (
                f"Written by `make cost-page`. Prices: {PRICES['region']}, {PRICES['as_of']}, from "
                "`bench/prices.json` (each with its source), without free tiers. What the model assumes stands "
                "at the top of `bench/cost.py`.\n"
            ),
            table(HEADS.split(" | "), [_row(name, scenario) for name, scenario in STANDING.items()]),
            (
                f"With it, an environment of provisioned concurrency is "
                f"${monthly(Scenario(provisioned=1))['provisioned concurrency']:.2f} a month more "
                "(`--provisioned N`), SnapStart "
                f"${monthly(Scenario(snap_start=True))["SnapStart's snapshot of one version"]:.2f} for each published "
                "version that is kept "
                f"(`--snap-start`) and ${MEMORY_GB * price('snap_start_restored_gb'):.6f} for each restore, "
                "of which the model knows no number.\n"
            ),
            (
                "A further stack that uses the first one's key (`KmsKeyArn`) and has no dashboard "
                f"(`DashboardEnabled=false`) costs ${_sum(first) - further:.2f} less (`--shared`): "
                f"${further:.2f} a month with five callers.\n"
            ),
            table(
                ["$ a month", *names],
                [
                    [name, *(f"{dollars:,.2f}" for dollars in alternatives(scenario).values())]
                    for name, scenario in STANDING.items()
                ],
            ),
            (
                f"{_cheaper()} Every sum holds the same refresh with its metrics and alarms; the hand-out's own and "
                f"the dashboard (${WATCHING.monthly() - WATCHING_THE_REFRESH.monthly():.2f} a month) are charged to "
                "this product alone.\n"
            ),
            (
                "Limits, for 1,000 callers that keep nothing (Lambda adds at most "
                f"{NEW_ENVIRONMENTS_IN_TEN_SECONDS:,} environments to a function in ten seconds):\n"
            ),
            table(
                ("limit", "used", "of", "what to turn"),
                [(name, f"{used:,.2f}", f"{size:,}", turn) for name, used, size, turn in limits(greedy)],
            ),
        ]
    )


def _sum(scenario: Scenario) -> float:
    return sum(monthly(scenario).values())


def _row(name: str, scenario: Scenario) -> list[str]:
    rates = load(scenario)
    return [
        name,
        *(f"{rates.calls:,.1f}", f"{rates.vends:,.2f}", f"{rates.client_hit_ratio:.1%}"),
        *(f"{rates.secret_reads:.3f}", f"{rates.vend_hit_ratio:.1%}", f"{rates.environments}"),
        *(f"{_sum(scenario):,.2f}", f"{callers_until_a_limit(scenario):,}"),
    ]


def _cheaper() -> str:
    """Which standing scenarios would be cheaper otherwise, and how."""
    found: dict[str, list[str]] = {}
    for name, scenario in STANDING.items():
        sums = alternatives(scenario)
        best = min(sums, key=sums.__getitem__)
        if best != "this product":
            found.setdefault(best, []).append(f"{name} (${sums['this product'] - sums[best]:,.2f} less)")
    if not found:
        return "This product is the cheapest in all of them."
    ways = (f'by "{best}" for {"; ".join(names)}' for best, names in found.items())
    return f"This product is undercut {'; and '.join(ways)}."


if __name__ == "__main__":
    put(report.PAGE, "cost", page())
    sys.exit(0)
