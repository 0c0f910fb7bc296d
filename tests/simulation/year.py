"""A simulated year of the real refresh and hand-out code, several times over, and what an operator sees of it.

The clock, Secrets Manager and the vendor are simulated (tests/simulation); the decisions, the metrics and the
alarms are the product's own: the alarms are read from template.yaml and evaluated as CloudWatch does. Writes
docs/evidence/year.md and its picture; `--check` only says whether the page still tells the truth.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from scripts.template import STACK, Stack
from tests.infrastructure.cloudwatch import Alarms, metric_key
from tests.simulation import EMAIL, MINT, Call, Fault, Killed, Kind, RefreshProcess, World
from token_vending import telemetry
from token_vending.due import Rules
from token_vending.errors import TokenUnavailable, TokenVendingError
from token_vending.requests import VendRequest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "evidence" / "year.md"
PICTURES = ROOT / "docs" / "evidence" / "pictures"

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
    """A year with something in it. `arrange` is called at the beginning, `weather` before every vendor call."""

    name: str
    tells: str
    arrange: Callable[["Year"], None] = lambda _year: None
    calls: Callable[[timedelta], bool] = lambda _since_start: True
    vendor_is_up: Callable[[timedelta], bool] = lambda _since_start: True
    rules: Rules = field(default_factory=Rules)
    control: bool = False


class Year:
    """One scenario, lived through. `run()` may be called once."""

    def __init__(self, scenario: Scenario, stack: Stack, days: int = 365) -> None:
        self.scenario = scenario
        self.days = days
        self.world = World(rules=scenario.rules)
        self.start = self.world.clock()
        self.alarms = Alarms(stack)
        self.ages: list[tuple[float, float]] = []
        """Day of the year, days the token has left."""
        self.counts: Counter[str] = Counter()
        self.dead = timedelta(0)
        self.dead_days = 0
        self.dead_spans: list[tuple[datetime, datetime]] = []
        self._dead_since: datetime | None = None
        self._telemetry = _quiet_telemetry(self)
        self._process = self.world.refresh_process()
        self._vendor = self.world.vendor()
        self._ticks = 0

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

    def run(self) -> "Year":
        """Lives through it: a tick every quarter of an hour, a call in between, the alarms after both."""
        self.world.set_credentials("the first password")
        self.scenario.arrange(self)
        clock = self.world.clock
        for _ in range(self.days * DAY // TICK):
            until = clock() + TICK
            self._ticks += 1
            self._deliver({"id": f"tick-{self._ticks}"})
            self._look()
            self._until(until - TICK + CALL_AFTER_TICK)
            if self.scenario.calls(self.elapsed):
                self._call()
            self._look()
            self.alarms.evaluate(clock())
            self._note_age()
            self._until(until)
        self._look()
        self._account(clock())
        return self

    # The product ---------------------------------------------------------------------------------------

    def _deliver(self, event: Mapping[str, object]) -> None:
        """An asynchronous event: three attempts, then the dead-letter queue."""
        for pause in (*ASYNC_PAUSES, None):
            if self._attempt(event):
                return
            self._look()
            if pause is not None:
                self.world.clock.advance(pause)
        self.count("AWS/SQS", "NumberOfMessagesSent", {"QueueName": "${RefreshFailureQueue.QueueName}"})
        self.counts["dead letters"] += 1

    def _attempt(self, event: Mapping[str, object]) -> bool:
        """What functions/refresh/app.py does with an event; whether it returned."""
        self._count_of_lambda("RefreshFunction", "Invocations")
        self.counts["runs"] += 1
        with self._telemetry.run("simulated"):
            try:
                report = self.world.run(event, process=self._process, weather=self._weather)
            except TokenVendingError as error:
                self._telemetry.failed(error)
                self._count_of_lambda("RefreshFunction", "Errors")
                self.counts["failed runs"] += 1
                return False
            except Killed:
                self._process = self._cold_start()
                self._count_of_lambda("RefreshFunction", "Errors")
                self.counts["failed runs"] += 1
                return False
            self._telemetry.done(report)
            return True

    def _cold_start(self) -> RefreshProcess:
        process = self.world.refresh_process()
        process.refresher.seen = self._telemetry.seen
        return process

    def _weather(self, call: Call) -> Fault | None:
        if call.operation == MINT and not self.scenario.vendor_is_up(self.elapsed):
            return Fault(Kind.SERVER_ERROR)
        return None

    # A caller ------------------------------------------------------------------------------------------

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
                self._deliver_started()
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

    def _deliver_started(self) -> None:
        events, self.world.started.events = self.world.started.events, []
        for event in events:
            self._deliver(event)
            self._look()

    # Looking -------------------------------------------------------------------------------------------

    def _until(self, moment: datetime) -> None:
        self.world.clock.advance(max(timedelta(0), moment - self.world.clock()))

    def look(self) -> None:
        """Something happened to the token outside: the time without a working one is counted from here."""
        self._look()

    def _look(self) -> None:
        now = self.world.clock()
        if self.world.token_works():
            self._account(now)
        elif self._dead_since is None:
            self._dead_since = now

    def _account(self, now: datetime) -> None:
        if self._dead_since is None:
            return
        duration = now - self._dead_since
        self.dead_spans.append((self._dead_since, now))
        self._dead_since = None
        self.dead += duration
        self.dead_days += duration // DAY

    def _note_age(self) -> None:
        token = self.world.token()
        left = token.remaining(self.world.clock()) / DAY if token is not None else 0.0
        self.ages.append((self.elapsed / DAY, left))

    def count(self, namespace: str, name: str, dimensions: Mapping[str, str], value: float = 1) -> None:
        """One data point, now."""
        self.alarms.metrics.add(metric_key(namespace, name, dimensions), value, self.world.clock())

    def _count_of_lambda(self, function: str, name: str) -> None:
        dimensions = {"FunctionName": f"${{{function}}}", "Resource": f"${{{function}}}:live"}
        self.count("AWS/Lambda", name, dimensions)


class _MetricsOfYear:
    """In place of Powertools' metrics: keeps what the product's telemetry adds, at the simulated time."""

    def __init__(self, year: Year) -> None:
        self._year = year
        self.metric_set: dict[str, object] = {}

    def add_metric(self, name: str, unit: object, value: float) -> None:
        del unit
        self._year.count(NAMESPACE, name, {"stack": STACK}, value)

    def flush_metrics(self) -> None:
        """Nothing is held back."""


def _quiet_telemetry(year: Year) -> telemetry.RefreshTelemetry:
    """The product's own, so that which metrics a run leaves is decided by its code."""
    vars(telemetry)["utc_now"] = year.world.clock
    quiet: Any = telemetry.RefreshTelemetry()
    quiet._metrics = _MetricsOfYear(year)
    quiet._log = _Silence()
    made: telemetry.RefreshTelemetry = quiet
    return made


class _Silence(logging.Logger):
    """A logger that takes whatever the product's logger takes and writes nothing."""

    def __init__(self) -> None:
        super().__init__("year")

    def append_keys(self, **_: object) -> None:
        """Nothing to append to."""

    def info(self, *_: object, **__: object) -> None:
        """Not written."""

    def warning(self, *_: object, **__: object) -> None:
        """Not written."""


# ----------------------------------------------------------------------------------------------- the years


def _password_expires(year: Year) -> None:
    """At the vendor, unnoticed: the mint at day 42 is the first to meet it. Replaced three days later."""
    clock, world = year.world.clock, year.world
    clock.at(year.start + 40 * DAY, lambda: world.personr.set_password(EMAIL, "the second password"))
    clock.at(year.start + 45 * DAY, lambda: _put(world, "the second password"))


def _put(world: World, password: str) -> None:
    world.set_credentials(password)


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
        control=True,
    ),
)


def live_through(scenarios: tuple[Scenario, ...] = SCENARIOS, days: int = 365) -> Iterator[Year]:
    """Each scenario's year, one after the other."""
    stack = Stack()
    for scenario in scenarios:
        year = Year(scenario, stack, days)
        year._process = year._cold_start()
        yield year.run()


# ------------------------------------------------------------------------------------------------- the page


def describe(duration: timedelta) -> str:
    """Hours and minutes; zero is 0."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    if not minutes:
        return f"{seconds} s" if seconds else "0"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def row(year: Year) -> str:
    """One line of the page's table."""
    went_off = Counter(name.removesuffix("Alarm") for _, name in year.pages)
    symptoms = sorted(
        alarm.name.removeprefix(f"{STACK}-")
        for alarm in year.alarms.metric_alarms.values()
        if any(state == "ALARM" for _, state in alarm.history)
    )
    shortest = min((left for _, left in year.ages), default=0.0)
    pages = sum(went_off.values())
    cells = [
        f"**{year.scenario.name}**: {year.scenario.tells}",
        str(len(year.mints)),
        f"{shortest:.0f}",
        str(year.dead_days),
        describe(year.dead),
        f"{year.counts['failed calls']} of {year.counts['calls']}",
        str(pages),
        ", ".join(symptoms) or "none",
    ]
    return f"| {' | '.join(cells)} |"


# ruff: noqa: E501 - paragraphs of a page
HEAD = """\
# A year of it

`make year` lets the product's own decision, refresh and hand-out code live through a year on a simulated clock: a tick every 15 minutes, a caller's call every 15 minutes, Lambda's retries, the vendor's rules, and the alarms of `template.yaml` evaluated over the metrics that the code emits. It wrote this page and its picture. Everything is deterministic, so a second run gives the same figures.

| a year in which | mints | fewest days left | whole days without a valid token | time without one | calls that failed | pages | alarms that went off |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
*Time without a valid token* is the time in which the token in the store was dead at the vendor: between a foreign mint and the first call that noticed. A *call that failed* found no working token within a minute. A *page* is a call to a person; all symptoms of one cause share it.

![Mints, foreign mints and pages of each year](pictures/year.svg)
"""


def page(years: list[Year]) -> str:
    """The text of docs/evidence/year.md."""
    return HEAD + "\n".join(row(year) for year in years) + "\n" + TAIL


def main() -> int:
    """0; with --check 1 if docs/evidence/year.md says something else than this run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    arguments = parser.parse_args()
    began = time.monotonic()
    years: list[Year] = []
    for year in live_through():
        years.append(year)
        print(row(year), flush=True)
    text = page(years)
    if arguments.check:
        return int(PAGE.read_text(encoding="utf-8") != text)
    from tests.simulation.year_pictures import draw_years  # noqa: PLC0415  a second to import

    PICTURES.mkdir(exist_ok=True)
    draw_years(years, PICTURES / "year.svg")
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)} and its picture in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
