"""A simulated year of the real refresh and hand-out code, several times over, and what an operator sees of it.

The clock, Secrets Manager and the vendor are simulated; the decisions, the metrics and the alarms are the product's
own: the alarms are read from template.yaml and evaluated as CloudWatch does. Writes docs/evidence/year.md and its
picture; `--check` only says whether the page still tells the truth.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from scripts.pages import table
from scripts.template import STACK, Stack
from tests.infrastructure.cloudwatch import Alarms, metric_key
from tests.simulation.faults import MINT, Call, Fault, Kind
from tests.simulation.world import EMAIL, World
from token_vending import telemetry
from token_vending.due import Rules
from token_vending.errors import TokenUnavailable, TokenVendingError
from token_vending.requests import VendRequest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "evidence" / "year.md"
PICTURE = PAGE.parent / "pictures" / "year.svg"

DAY = timedelta(days=1)
TICK = timedelta(minutes=15)
CALL_AFTER_TICK = timedelta(minutes=7, seconds=30)
ASYNC_PAUSES = (timedelta(minutes=1), timedelta(minutes=2))
"""Lambda's pauses before the first and second retry of an asynchronous event."""
PATIENCE = timedelta(minutes=1)
"""How long a caller waits for a working token before its call counts as failed."""
NAMESPACE = "TokenVending"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A year with something in it. `arrange` is called at the beginning."""

    name: str
    tells: str
    arrange: Callable[["Year"], None] = lambda _year: None
    calls: Callable[[timedelta], bool] = lambda _since_start: True
    vendor_is_up: Callable[[timedelta], bool] = lambda _since_start: True
    rules: Rules = field(default_factory=Rules)


class Year:
    """One scenario, lived through. `run()` may be called once."""

    def __init__(self, scenario: Scenario, stack: Stack, days: int = 365) -> None:
        self.scenario = scenario
        self.days = days
        self.world = World(rules=scenario.rules)
        self.start = self.world.clock()
        self.alarms = Alarms(stack)
        self.fewest_days_left = float("inf")
        """Of the token's life, when somebody looked."""
        self.counts: Counter[str] = Counter()
        self.dead_spans: list[tuple[datetime, datetime]] = []
        self._dead_since: datetime | None = None
        self._telemetry = _quiet_telemetry(self)
        self._process = self.world.refresh_process()
        self._process.refresher.seen = self._telemetry.seen
        self._vendor = self.world.vendor()

    @property
    def elapsed(self) -> timedelta:
        """Since the beginning of the year."""
        return self.world.clock() - self.start

    @property
    def pages(self) -> list[tuple[datetime, str]]:
        """Every call to a person: when, and by which alarm."""
        return self.alarms.pages()

    @property
    def mints(self) -> list[datetime]:
        """Every mint that took effect, whoever made it."""
        return [mint.at for mint in self.world.personr.history]

    @property
    def dead(self) -> timedelta:
        """The time without a working token."""
        return sum((ended - began for began, ended in self.dead_spans), timedelta(0))

    @property
    def dead_days(self) -> int:
        """Whole days in a row without a working token."""
        return sum((ended - began) // DAY for began, ended in self.dead_spans)

    @property
    def symptoms(self) -> set[str]:
        """Every alarm that went off, by logical id."""
        alarms = self.alarms.metric_alarms.items()
        return {name for name, alarm in alarms if any(state == "ALARM" for _, state in alarm.history)}

    def run(self) -> Self:
        """Lives through it: a tick every quarter of an hour, a call in between, the alarms after both."""
        self.world.set_credentials("the first password")
        self.scenario.arrange(self)
        clock = self.world.clock
        for number in range(self.days * DAY // TICK):
            began = clock()
            self._deliver({"id": f"tick-{number}"})
            self.look()
            self._until(began + CALL_AFTER_TICK)
            if self.scenario.calls(self.elapsed):
                self._call()
            self.look()
            self.alarms.evaluate(clock())
            token = self.world.token()
            left = token.remaining(clock()) / DAY if token is not None else 0.0
            self.fewest_days_left = min(left, self.fewest_days_left)
            self._until(began + TICK)
        self.look()
        self._account(clock())
        return self

    def look(self) -> None:
        """Something may have happened to the token: the time without a working one is counted from here."""
        now = self.world.clock()
        if self.world.token_works():
            self._account(now)
        elif self._dead_since is None:
            self._dead_since = now

    def count(self, namespace: str, name: str, dimensions: Mapping[str, str], value: float = 1) -> None:
        """One data point, now."""
        self.alarms.metrics.add(metric_key(namespace, name, dimensions), value, self.world.clock())

    # The product ---------------------------------------------------------------------------------------

    def _deliver(self, event: Mapping[str, object]) -> None:
        """An asynchronous event: three attempts, then the dead-letter queue."""
        for pause in (*ASYNC_PAUSES, None):
            if self._attempt(event):
                return
            self.look()
            if pause is not None:
                self.world.clock.advance(pause)
        self.count("AWS/SQS", "NumberOfMessagesSent", {"QueueName": "${RefreshFailureQueue.QueueName}"})

    def _attempt(self, event: Mapping[str, object]) -> bool:
        """What functions/refresh/app.py does with an event; whether it returned."""
        self._count_of_lambda("RefreshFunction", "Invocations")
        with self._telemetry.run("simulated"):
            try:
                report = self.world.run(event, process=self._process, weather=self._weather)
            except TokenVendingError as error:
                self._telemetry.failed(error)
                self._count_of_lambda("RefreshFunction", "Errors")
                return False
            self._telemetry.done(report)
            return True

    def _weather(self, call: Call) -> Fault | None:
        down = call.operation == MINT and not self.scenario.vendor_is_up(self.elapsed)
        return Fault(Kind.SERVER_ERROR) if down else None

    def _call(self) -> None:
        """One call of the vendor by a caller that does what TokenClient does about a 401."""
        self.counts["calls"] += 1
        gives_up = self.world.clock() + PATIENCE
        rejected: str | None = None
        while True:
            try:
                given = self._vendor.hand_out(VendRequest(rejected_version=rejected))
            except TokenUnavailable as error:
                self._count_of_lambda("VendFunction", "Errors")
                for event in self.world.started.taken():
                    self._deliver(event)
                    self.look()
                wait = timedelta(seconds=error.retry_after or 0)
                if self.world.clock() + wait > gives_up:
                    self.counts["failed calls"] += 1
                    return
                self.world.clock.advance(wait)
                continue
            self.count(NAMESPACE, "TokenVended", {"stack": STACK})
            if self.world.personr.use(given.token.access_token()):
                return
            self.counts["rejections"] += 1
            self.count(NAMESPACE, "TokenRejected", {"stack": STACK})
            rejected = given.token.version

    # Inside --------------------------------------------------------------------------------------------

    def _until(self, moment: datetime) -> None:
        self.world.clock.advance(max(timedelta(0), moment - self.world.clock()))

    def _account(self, now: datetime) -> None:
        if self._dead_since is not None:
            self.dead_spans.append((self._dead_since, now))
            self._dead_since = None

    def _count_of_lambda(self, function: str, name: str) -> None:
        dimensions = {"FunctionName": f"${{{function}}}", "Resource": f"${{{function}}}:live"}
        self.count("AWS/Lambda", name, dimensions)


def _quiet_telemetry(year: Year) -> telemetry.RefreshTelemetry:
    """The product's own, so that which metrics a run leaves is decided by its code; no line is written."""

    def add_metric(name: str, unit: object, value: float) -> None:
        del unit
        year.count(NAMESPACE, name, {"stack": STACK}, value)

    def nothing(*_: object, **__: object) -> None: ...

    vars(telemetry)["utc_now"] = year.world.clock
    quiet: Any = telemetry.RefreshTelemetry()
    quiet._metrics = SimpleNamespace(metric_set={}, add_metric=add_metric, flush_metrics=nothing)
    quiet._log = SimpleNamespace(append_keys=nothing, info=nothing, warning=nothing)
    made: telemetry.RefreshTelemetry = quiet
    return made


# ----------------------------------------------------------------------------------------------- the years


def _password_expires(year: Year) -> None:
    """At the vendor, unnoticed: the mint at day 42 is the first to meet it. Replaced three days later."""
    clock, world = year.world.clock, year.world
    clock.at(year.start + 40 * DAY, lambda: world.personr.set_password(EMAIL, "the second password"))
    clock.at(year.start + 45 * DAY, lambda: world.set_credentials("the second password"))


def _foreign_mints(year: Year) -> None:
    """Every week, at a time when nothing else happens."""

    def mint() -> None:
        year.world.personr.mint_elsewhere(EMAIL)
        year.look()

    for week in range(1, year.days // 7):
        year.world.clock.at(year.start + week * timedelta(days=7, seconds=37), mint)


def _between(first_day: float, last_day: float) -> Callable[[timedelta], bool]:
    return lambda elapsed: not first_day * DAY <= elapsed < last_day * DAY


SCENARIOS = (
    Scenario("A quiet year", "nothing happens"),
    Scenario(
        "The vendor is down for 5 days",
        "from day 41 on, so that the mint of day 42 fails until day 46",
        vendor_is_up=_between(41, 46),
    ),
    Scenario(
        "The password expires",
        "on day 40, is noticed at the mint of day 42 and replaced on day 45",
        arrange=_password_expires,
    ),
    Scenario("A foreign minter", "mints with our account once a week", arrange=_foreign_mints),
    Scenario("A month without a call", "from day 100 to day 135", calls=_between(100, 135)),
    Scenario(
        "The same, MaxAgeDays=0",
        "the control: without the age bound, the vendor's idle limit of 30 days is met",
        calls=_between(100, 135),
        rules=Rules(max_age=None),
    ),
)


def live_through(scenarios: tuple[Scenario, ...] = SCENARIOS, days: int = 365) -> Iterator[Year]:
    """Each scenario's year, one after the other."""
    stack = Stack()
    for scenario in scenarios:
        yield Year(scenario, stack, days).run()


# ------------------------------------------------------------------------------------------------- the page


def describe(duration: timedelta) -> str:
    """Hours and minutes; zero is 0."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    if not minutes:
        return f"{seconds} s" if seconds else "0"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def row(year: Year) -> list[object]:
    """One line of the page's table."""
    went_off = sorted(year.alarms[name].name.removeprefix(f"{STACK}-") for name in year.symptoms)
    return [
        f"**{year.scenario.name}**: {year.scenario.tells}",
        len(year.mints),
        f"{year.fewest_days_left:.0f}",
        year.dead_days,
        describe(year.dead),
        f"{year.counts['failed calls']} of {year.counts['calls']}",
        len(year.pages),
        ", ".join(went_off) or "none",
    ]


# ruff: noqa: E501 - paragraphs of a page
HEAD = """\
# A year of it

`make year` lets the product's own decision, refresh and hand-out code live through a year on a simulated clock: a tick every 15 minutes, a caller's call every 15 minutes, Lambda's retries, the vendor's rules, and the alarms of `template.yaml` evaluated over the metrics that the code emits. It wrote this page and its picture. Everything is deterministic, so a second run gives the same figures.

"""
COLUMNS = "a year in which | mints | fewest days left | whole days without a valid token | time without one | calls that failed | pages | alarms that went off"
TAIL = """
*Time without a valid token* is the time in which the token in the store was dead at the vendor: between a foreign mint and the first call that noticed. A *call that failed* found no working token within a minute. A *page* is a call to a person; all symptoms of one cause share it.

![Mints, foreign mints and pages of each year](pictures/year.svg)
"""


def main() -> int:
    """0; with --check 1 if docs/evidence/year.md says something else than this run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    arguments = parser.parse_args()
    years = list(live_through())
    text = HEAD + table(COLUMNS.split(" | "), map(row, years)) + TAIL
    print(text)
    if arguments.check:
        return int(PAGE.read_text(encoding="utf-8") != text)
    from tests.simulation.year_pictures import draw_years  # noqa: PLC0415  a second to import

    draw_years(years, PICTURE)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
