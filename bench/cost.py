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
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class Watching:
    """What watches: metrics of our own, alarms, composite alarms, dashboards."""

    metrics: int
    alarms: int
    composites: int
    dashboards: int

    def monthly(self) -> float:
        """Dollars, as if every metric had a value in every hour."""
        return (
            self.metrics * price("metric_month")
            + self.alarms * price("alarm_month")
            + self.composites * price("composite_alarm_month")
            + self.dashboards * price("dashboard_month")
        )


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

    callers: int = 50
    calls_per_hour: float = 600
    client_cache_seconds: float = 300
    vend_cache_seconds: float = 300
    provisioned: int = 0
    snap_start: bool = False
    shared: bool = False
    """The key is another stack's (KmsKeyArn), and there is no dashboard (DashboardEnabled=false)."""


@dataclass(frozen=True)
class Load:
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
    if not vends:
        return 0
    busy = 1 + math.ceil(2 * vends * VEND_SECONDS)
    return max(busy, math.ceil(vends / REQUESTS_A_SECOND_PER_ENVIRONMENT))


def price(name: str) -> float:
    """Dollars."""
    return float(PRICES["prices"][name]["dollars"])


def watching(scenario: Scenario) -> Watching:
    """What watches the scenario's stack."""
    return replace(WATCHING, dashboards=0) if scenario.shared else WATCHING


def monthly(scenario: Scenario) -> dict[str, float]:
    """Dollars a month for each thing, of this product."""
    rates = load(scenario)
    vends = rates.vends * SECONDS_A_MONTH
    # A tick that finds nothing due makes three calls, two of which decrypt.
    secret_calls = rates.secret_reads * SECONDS_A_MONTH + 3 * TICKS_A_MONTH
    decryptions = rates.secret_reads * SECONDS_A_MONTH + 2 * TICKS_A_MONTH
    seconds = vends * VEND_SECONDS + TICKS_A_MONTH * TICK_SECONDS
    return {
        "the hand-out and the ticks (Lambda)": (vends + TICKS_A_MONTH) * price("lambda_request")
        + seconds * MEMORY_GB * price("lambda_gb_second"),
        "two secrets and their calls": 2 * price("secret_month") + secret_calls * price("secret_call"),
        "the key and its calls": (not scenario.shared) * price("kms_key_month")
        + decryptions * price("kms_request"),
        "audit lines and logs": (vends + TICKS_A_MONTH) * LOG_BYTES / 1e9 * price("log_gb"),
        "metrics, alarms, the dashboard": watching(scenario).monthly(),
        "the schedule": TICKS_A_MONTH * price("scheduler_tick"),
        "provisioned concurrency": scenario.provisioned
        * MEMORY_GB
        * SECONDS_A_MONTH
        * price("lambda_provisioned_gb_second"),
        "SnapStart's snapshot of one version": scenario.snap_start
        * MEMORY_GB
        * SECONDS_A_MONTH
        * price("snap_start_gb_second"),
    }


def alternatives(scenario: Scenario) -> dict[str, float]:
    """Dollars a month of the other ways to get the same token to the same callers.

    Each still needs something that mints: the same refresh with its own metrics and alarms, whose cost is in every
    line. Nothing of the hand-out's is: neither its metrics and alarms nor the dashboard.
    """
    refresh_only = (
        sum(monthly(Scenario(callers=0)).values()) - WATCHING.monthly() + WATCHING_THE_REFRESH.monthly()
    )
    one_call = price("secret_call") + price("kms_request")
    calls = scenario.callers * scenario.calls_per_hour / 3600 * SECONDS_A_MONTH
    cached = scenario.callers * fetches(scenario.calls_per_hour / 3600, 300) * SECONDS_A_MONTH
    hours = SECONDS_A_MONTH / 3600
    return {
        "this product": sum(monthly(scenario).values()),
        "every caller reads the secret at every call": refresh_only + calls * one_call,
        "every caller reads the secret and keeps it for 300 s (AWS's extension, a library)": refresh_only
        + cached * one_call,
        "a Vault cluster of three nodes": refresh_only
        + 3 * hours * price("server_hour")
        + hours * price("load_balancer_hour"),
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
    low, high = 0, 1
    while _fits(replace(scenario, callers=high)):
        low, high = high, high * 2
        if high > 10**9:
            return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(replace(scenario, callers=middle)) else (low, middle)
    return low


def _fits(scenario: Scenario) -> bool:
    return all(used <= size for _, used, size, _ in limits(scenario))


def _print(scenario: Scenario) -> None:
    rates = load(scenario)
    print(f"{scenario.callers:,} callers, {scenario.calls_per_hour:g} calls an hour each")
    print(f"  calls with the token     {rates.calls:12,.2f} a second")
    print(
        f"  hand-outs                {rates.vends:12,.3f} a second ({rates.client_hit_ratio:.1%} kept by callers)"
    )
    print(
        f"  reads of the secret      {rates.secret_reads:12,.3f} a second ({rates.vend_hit_ratio:.1%} kept)"
    )
    print(f"  environments             {rates.environments:12d}")
    print(f"\nDollars a month ({PRICES['region']}, {PRICES['as_of']}, no free tier)")
    _print_sums(monthly(scenario).items())
    print("\nInstead (each with the same refresh)")
    _print_sums(alternatives(scenario).items())
    print("\nLimits")
    for limit, used, size, turn in limits(scenario):
        print(f"  {used / size:8.2%}  {limit} ({used:,.2f} of {size:,}): {turn}")
    print(f"  the first is used up by {callers_until_a_limit(scenario):,} such callers")


def _print_sums(sums: Iterable[tuple[str, float]]) -> None:
    for name, dollars in sums:
        print(f"  {dollars:12,.2f}  {name}")


def main() -> int:
    """Prints one scenario."""
    usual = Scenario()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--callers", type=_count, default=usual.callers)
    parser.add_argument("--calls-per-hour", type=_amount, default=usual.calls_per_hour, help="of each caller")
    for side in ("client", "vend"):
        name = f"{side}_cache_seconds"
        parser.add_argument(f"--{side}-cache", dest=name, type=_amount, default=getattr(usual, name))
    parser.add_argument("--provisioned", type=_count, default=0, help="environments kept ready")
    parser.add_argument("--snap-start", action="store_true", help="with SnapStart, without its restores")
    parser.add_argument("--shared", action="store_true", help="another stack's key, and no dashboard")
    _print(Scenario(**vars(parser.parse_args())))
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("cannot be negative")
    return number


def _amount(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError("must be a number of at least 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
