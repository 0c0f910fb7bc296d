"""What callers cost a month, how loaded everything is, and which of AWS's limits would bite first: `make cost`.

A caller is a process that uses the token: an instance of a service, a warm Lambda environment. Prices are inputs, with
their date and source in prices.json; no free tier is counted.

The model. A caller whose calls come at random, λ a second, and who keeps a token for T seconds fetches one every
T + 1/λ seconds: T until its copy is old, 1/λ until it next needs one. The client renews early, so its T is the
mean of when it does. The same holds for the vend function's copy, with the fetches of all callers for λ. How many
environments the vend function needs is its load by Little's law (fetches a second times seconds each), with as
many again and one for bursts, or a tenth of the fetches a second if that is more: an environment serves ten
requests a second at most.

Not in it: starts of vend environments (init is billed; a few thousand a month are a cent), mints (a few a year),
what callers pay for their own side, and of SnapStart the restores.
"""

import argparse
import bisect
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.report import PAGE
from scripts.pages import put, table

PRICES: dict[str, Any] = json.loads(Path(__file__).with_name("prices.json").read_text(encoding="utf-8"))

SECONDS_A_MONTH = 730 * 3600
TICKS_A_MONTH = SECONDS_A_MONTH / 900
# The client renews between 75 and 90 % of the time a token may be kept, evenly spread (token_client/_freshness.py).
CLIENT_RENEWS_AT = 0.825
# `make bench` measures 0.7 to 0.8 ms for a warm hand-out on a whole core. A function of 512 MB has 0.29 of one: 2.7 ms,
# and Lambda bills whole milliseconds. Rounded up, since nothing of this was measured on Lambda.
VEND_SECONDS = 0.005
# Ticks are 15 minutes apart, so take each for a cold start: 0.3 s of init on a whole core by `make bench`, and three
# calls on a third of one.
TICK_SECONDS = 0.5
MEMORY_GB = 0.5
# What a hand-out writes: its line, and Lambda's start, end and report lines.
LOG_BYTES = 1300


class Watching(NamedTuple):
    """What watches: metrics of our own, alarms, composite alarms, dashboards."""

    metrics: int
    alarms: int
    composites: int
    dashboards: int

    def monthly(self) -> float:
        """Dollars, as if every metric had a value in every hour."""
        kinds = ("metric_month", "alarm_month", "composite_alarm_month", "dashboard_month")
        return sum(number * price(kind) for number, kind in zip(self, kinds, strict=True))


# As template.yaml has them (a test counts). The refresh's part is what the alternatives need too.
WATCHING = Watching(metrics=9, alarms=13, composites=2, dashboards=1)
WATCHING_THE_REFRESH = Watching(metrics=5, alarms=9, composites=1, dashboards=0)

# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
SECRET_READS_A_SECOND = 10_000
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 1,000 by default, 10 in a new account. An
# environment serves ten requests a second, by invoke or by URL, however short they are.
CONCURRENCY = 1_000
REQUESTS_A_SECOND_PER_ENVIRONMENT = 10
# https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html: of one function.
NEW_ENVIRONMENTS_IN_TEN_SECONDS = 1_000
# https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html: symmetric operations by default; the
# largest regions have more.
KMS_REQUESTS_A_SECOND = 10_000


@dataclass(frozen=True)
class Scenario:
    """Who asks how often, and who keeps the token how long."""

    callers: float = 50
    calls_per_hour: float = 600
    client_cache_seconds: float = 300
    vend_cache_seconds: float = 300
    provisioned: int = 0
    snap_start: bool = False
    shared: bool = False
    """The key is another stack's (KmsKeyArn), and there is no dashboard (DashboardEnabled=false)."""


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


class Load(NamedTuple):
    """Rates in calls a second; concurrency in environments."""

    calls: float
    vends: float
    secret_reads: float
    environments: int

    @property
    def client_hit_ratio(self) -> float:
        """The part of the calls that needs no hand-out."""
        return 1 - self.vends / self.calls if self.calls else 0.0

    @property
    def vend_hit_ratio(self) -> float:
        """The part of the hand-outs that needs no read of the secret."""
        return 1 - self.secret_reads / self.vends if self.vends else 0.0


def fetches(rate: float, kept_seconds: float) -> float:
    """Fetches a second of somebody who needs the token at this rate and keeps it for that long."""
    return 1 / (kept_seconds + 1 / rate) if rate else 0.0


def load(scenario: Scenario) -> Load:
    """What the scenario makes everybody do."""
    rate = scenario.calls_per_hour / 3600
    vends = scenario.callers * fetches(rate, CLIENT_RENEWS_AT * scenario.client_cache_seconds)
    environments = environments_for(vends)
    reads = environments * fetches(vends / environments, scenario.vend_cache_seconds) if environments else 0.0
    return Load(scenario.callers * rate, vends, reads, environments)


def environments_for(vends: float) -> int:
    """Environments of the vend function for so many hand-outs a second."""
    busy = 1 + math.ceil(2 * vends * VEND_SECONDS)
    return max(busy, math.ceil(vends / REQUESTS_A_SECOND_PER_ENVIRONMENT)) if vends else 0


def price(name: str) -> float:
    """Dollars."""
    return float(PRICES["prices"][name]["dollars"])


def monthly(scenario: Scenario) -> dict[str, float]:
    """Dollars a month for each thing, of this product."""
    rates = load(scenario)
    vends = rates.vends * SECONDS_A_MONTH
    # A tick that finds nothing due makes three calls, two of which decrypt.
    secret_calls = rates.secret_reads * SECONDS_A_MONTH + 3 * TICKS_A_MONTH
    key = 0 if scenario.shared else price("kms_key_month")
    gb_seconds = (vends * VEND_SECONDS + TICKS_A_MONTH * TICK_SECONDS) * MEMORY_GB
    requests = (vends + TICKS_A_MONTH) * price("lambda_request")
    kept = MEMORY_GB * SECONDS_A_MONTH
    return {
        "the hand-out and the ticks (Lambda)": requests + gb_seconds * price("lambda_gb_second"),
        "two secrets and their calls": 2 * price("secret_month") + secret_calls * price("secret_call"),
        "the key and its calls": key + (secret_calls - TICKS_A_MONTH) * price("kms_request"),
        "audit lines and logs": (vends + TICKS_A_MONTH) * LOG_BYTES / 1e9 * price("log_gb"),
        "metrics, alarms, the dashboard": WATCHING._replace(dashboards=int(not scenario.shared)).monthly(),
        "the schedule": TICKS_A_MONTH * price("scheduler_tick"),
        "provisioned concurrency": scenario.provisioned * kept * price("lambda_provisioned_gb_second"),
        "SnapStart's snapshot of one version": scenario.snap_start * kept * price("snap_start_gb_second"),
    }


def alternatives(scenario: Scenario) -> dict[str, float]:
    """Dollars a month of the other ways to get the same token to the same callers.

    Each still needs something that mints: the same refresh with its own metrics and alarms, whose cost is in every
    line. Nothing of the hand-out's is: neither its metrics and alarms nor the dashboard.
    """
    refresh_only = _sum(Scenario(callers=0)) - WATCHING.monthly() + WATCHING_THE_REFRESH.monthly()
    one_call = price("secret_call") + price("kms_request")
    calls = scenario.callers * scenario.calls_per_hour / 3600 * SECONDS_A_MONTH
    cached = scenario.callers * fetches(scenario.calls_per_hour / 3600, 300) * SECONDS_A_MONTH
    cluster = (3 * price("server_hour") + price("load_balancer_hour")) * SECONDS_A_MONTH / 3600
    return {
        "this product": _sum(scenario),
        "every caller reads the secret at every call": refresh_only + calls * one_call,
        "every caller reads the secret and keeps it for 300 s (AWS's extension, a library)": refresh_only
        + cached * one_call,
        "a Vault cluster of three nodes": refresh_only + cluster,
    }


def limits(scenario: Scenario) -> list[tuple[str, float, float, str]]:
    """(limit, its use a second, its size, what to turn), the most used first."""
    rates = load(scenario)
    reads, turn = rates.secret_reads, "CacheSeconds up"
    concurrency = f"Lambda's concurrency ({REQUESTS_A_SECOND_PER_ENVIRONMENT} requests a second each)"
    keep = "callers that keep the token (TokenClient); a higher quota"
    rows = [
        ("GetSecretValue of the account, a second", reads, SECRET_READS_A_SECOND, turn),
        ("KMS requests of the account, a second", reads, KMS_REQUESTS_A_SECOND, turn),
        (concurrency, float(rates.environments), CONCURRENCY, keep),
    ]
    return sorted(rows, key=lambda row: row[1] / row[2], reverse=True)


def callers_until_a_limit(scenario: Scenario) -> int:
    """How many such callers it takes to use up the first limit."""

    def too_many(callers: int) -> bool:
        return any(used > size for _, used, size, _ in limits(replace(scenario, callers=callers)))

    return bisect.bisect_left(range(10**9), True, key=too_many) - 1  # noqa: FBT003


def tables(scenarios: Mapping[str, Scenario]) -> list[str]:
    """Rates and sums, the alternatives' sums, and the limits for whom the function has most to do."""
    greedy = max(scenarios.values(), key=lambda scenario: load(scenario).vends)
    sums = [
        [name, *(f"{dollars:,.2f}" for dollars in alternatives(scenario).values())]
        for name, scenario in scenarios.items()
    ]
    used = [(name, f"{used:,.2f}", f"{size:,}", turn) for name, used, size, turn in limits(greedy)]
    return [
        table(HEADS.split(" | "), [_row(name, scenario) for name, scenario in scenarios.items()]),
        table(["$ a month", *alternatives(greedy)], sums),
        table(("limit", "used", "of", "what to turn"), used),
    ]


def _row(name: str, scenario: Scenario) -> list[str]:
    rates = load(scenario)
    return [
        name,
        *(f"{rates.calls:,.1f}", f"{rates.vends:,.2f}", f"{rates.client_hit_ratio:.1%}"),
        *(f"{rates.secret_reads:.3f}", f"{rates.vend_hit_ratio:.1%}", f"{rates.environments}"),
        *(f"{_sum(scenario):,.2f}", f"{callers_until_a_limit(scenario):,}"),
    ]


def _sum(scenario: Scenario) -> float:
    return sum(monthly(scenario).values())


def page() -> str:
    """The standing scenarios, as docs/evidence/performance.md shows them."""
    load_table, sums, used = tables(STANDING)
    first = next(iter(STANDING.values()))
    further = _sum(replace(first, shared=True))
    of_the_hand_out = WATCHING.monthly() - WATCHING_THE_REFRESH.monthly()
    return f"""\
Written by `make cost-page`. Prices: {PRICES["region"]}, {PRICES["as_of"]}, from `bench/prices.json` (each with its \
source), without free tiers. What the model assumes stands at the top of `bench/cost.py`.

{load_table}
With it, an environment of provisioned concurrency is ${_sum(replace(first, provisioned=1)) - _sum(first):.2f} a month \
more (`--provisioned N`), SnapStart ${_sum(replace(first, snap_start=True)) - _sum(first):.2f} for each published \
version that is kept (`--snap-start`) and ${MEMORY_GB * price("snap_start_restored_gb"):.6f} for each restore, of \
which the model knows no number.

A further stack that uses the first one's key (`KmsKeyArn`) and has no dashboard (`DashboardEnabled=false`) costs \
${_sum(first) - further:.2f} less (`--shared`): ${further:.2f} a month with five callers.

{sums}
{_cheaper()} Every sum holds the same refresh with its metrics and alarms; the hand-out's own and the dashboard \
(${of_the_hand_out:.2f} a month) are charged to this product alone.

Limits, for 1,000 callers that keep nothing (Lambda adds at most {NEW_ENVIRONMENTS_IN_TEN_SECONDS:,} environments to a \
function in ten seconds):

{used}"""


def _cheaper() -> str:
    """Which standing scenarios would be cheaper otherwise, and how."""
    found: dict[str, list[str]] = {}
    for name, scenario in STANDING.items():
        sums = alternatives(scenario)
        best = min(sums, key=sums.__getitem__)
        if best != "this product":
            found.setdefault(best, []).append(f"{name} (${sums['this product'] - sums[best]:,.2f} less)")
    ways = (f'by "{best}" for {"; ".join(names)}' for best, names in found.items())
    return f"This product is undercut {'; and '.join(ways)}."


def main() -> int:
    """Prints one scenario, or writes the standing ones into docs/evidence/performance.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in asdict(Scenario()).items():
        option = f"--{name.removesuffix('_seconds').replace('_', '-')}"
        if isinstance(value, bool):
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, dest=name, type=_amount, default=value, help=f"{value:g} by default")
    parser.add_argument("--page", action="store_true", help="write the page; the other options do not count")
    chosen = vars(parser.parse_args())
    if chosen.pop("page"):
        put(PAGE, "cost", page())
        return 0
    scenario = Scenario(**chosen)
    sums = [(name, f"{dollars:,.2f}") for name, dollars in monthly(scenario).items()]
    of_what = f"$ a month ({PRICES['region']}, {PRICES['as_of']})"
    print(
        *tables({f"{scenario.callers:,.0f} callers": scenario}), table((of_what, ""), sums), sep="\n", end=""
    )
    return 0


def _amount(text: str) -> float:
    if not 0 <= float(text) < math.inf:
        raise argparse.ArgumentTypeError("must be a number of at least 0")
    return float(text)


if __name__ == "__main__":
    sys.exit(main())
