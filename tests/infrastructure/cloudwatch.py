"""CloudWatch as far as the alarms need it: metrics, and the evaluation of metric and composite alarms.

Follows https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html, the handling of
missing data included: more data points than EvaluationPeriods are looked at, real ones come first, and missing
ones are filled in only as far as needed. Windows end at the moment of the evaluation, as CloudWatch slides them.
"""

import bisect
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from scripts.template import Stack

EXTRA_DATA_POINTS = 2

type MetricKey = tuple[str, str, tuple[tuple[str, str], ...]]


class AlarmState(StrEnum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
}


def metric_key(namespace: str, name: str, dimensions: Mapping[str, str]) -> MetricKey:
    """What tells one metric from another."""
    return namespace, name, tuple(sorted(dimensions.items()))


class Metrics:
    """Values with their times, added in any order."""

    def __init__(self) -> None:
        self._times: dict[MetricKey, list[datetime]] = defaultdict(list)
        self._values: dict[MetricKey, list[float]] = defaultdict(list)

    def add(self, key: MetricKey, value: float, at: datetime) -> None:
        times = self._times[key]
        place = bisect.bisect_right(times, at)
        times.insert(place, at)
        self._values[key].insert(place, value)

    def add_embedded(self, lines: Iterable[str], *, at: datetime | None = None) -> None:
        """Takes the metrics out of log lines in CloudWatch's embedded format; other lines are passed over.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
        `at` replaces the lines' own time.
        """
        for line in lines:
            document = _json_object(line)
            for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
                moment = at or datetime.fromtimestamp(document["_aws"]["Timestamp"] / 1000, UTC)
                for names in directive["Dimensions"]:
                    dimensions = {name: str(document[name]) for name in names}
                    for metric in directive["Metrics"]:
                        values = document[metric["Name"]]
                        for value in values if isinstance(values, list) else [values]:
                            key = metric_key(directive["Namespace"], metric["Name"], dimensions)
                            self.add(key, float(value), moment)

    def within(self, key: MetricKey, after: datetime, until: datetime) -> list[float]:
        """The values at times in (after, until]."""
        times = self._times.get(key, [])
        first, last = bisect.bisect_right(times, after), bisect.bisect_right(times, until)
        return self._values[key][first:last] if last > first else []

    def __contains__(self, key: MetricKey) -> bool:
        return key in self._times


def _json_object(line: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


@dataclass(slots=True)
class MetricAlarm:
    """One alarm of the template. `history` holds every change of state, `pages` says whether it has an action."""

    name: str
    key: MetricKey
    statistic: str
    comparison: str
    threshold: float
    period: timedelta
    evaluation_periods: int
    datapoints_to_alarm: int
    missing: str
    pages: bool
    state: AlarmState = AlarmState.INSUFFICIENT_DATA
    history: list[tuple[datetime, AlarmState]] = field(default_factory=list)

    @classmethod
    def read(cls, properties: Mapping[str, Any]) -> "MetricAlarm":
        dimensions = {d["Name"]: d["Value"] for d in properties["Dimensions"]}
        periods = int(properties["EvaluationPeriods"])
        return cls(
            name=properties["AlarmName"],
            key=metric_key(properties["Namespace"], properties["MetricName"], dimensions),
            statistic=properties["Statistic"],
            comparison=properties["ComparisonOperator"],
            threshold=float(properties["Threshold"]),
            period=timedelta(seconds=int(properties["Period"])),
            evaluation_periods=periods,
            datapoints_to_alarm=int(properties.get("DatapointsToAlarm", periods)),
            missing=properties["TreatMissingData"],
            pages=bool(properties.get("AlarmActions")),
        )

    def evaluate(self, metrics: Metrics, now: datetime) -> None:
        points: list[bool] = []
        for back in range(self.evaluation_periods + EXTRA_DATA_POINTS if self.key in metrics else 0):
            if len(points) == self.evaluation_periods:
                break
            until = now - back * self.period
            values = metrics.within(self.key, until - self.period, until)
            if values:
                statistic = _STATISTICS[self.statistic](values)
                points.append(_COMPARISONS[self.comparison](statistic, self.threshold))
        _enter(self, self._judge(points), now)

    def _judge(self, newest_first: list[bool]) -> AlarmState:
        real = newest_first[: self.evaluation_periods]
        breaching = sum(real)
        missing = self.evaluation_periods - len(real)
        if missing and self.missing == "breaching":
            breaching += missing
        if breaching >= self.datapoints_to_alarm:
            return AlarmState.ALARM
        if missing and self.missing == "ignore" and breaching + missing >= self.datapoints_to_alarm:
            return self.state
        if not real and self.missing == "missing":
            return AlarmState.INSUFFICIENT_DATA
        return AlarmState.OK


@dataclass(slots=True)
class CompositeAlarm:
    """A composite of the template, over the logical ids of the alarms that its rule names."""

    name: str
    rule: str
    pages: bool
    state: AlarmState = AlarmState.INSUFFICIENT_DATA
    history: list[tuple[datetime, AlarmState]] = field(default_factory=list)

    def evaluate(self, states: Mapping[str, AlarmState], now: datetime) -> None:
        _enter(self, AlarmState.ALARM if _holds(self.rule, states) else AlarmState.OK, now)


def _enter(alarm: MetricAlarm | CompositeAlarm, state: AlarmState, now: datetime) -> None:
    if state is not alarm.state:
        alarm.state = state
        alarm.history.append((now, state))


class Alarms:
    """All alarms of a stack, by logical id."""

    def __init__(self, stack: Stack) -> None:
        self.metrics = Metrics()
        self.metric_alarms = {
            name: MetricAlarm.read(properties)
            for name, properties in stack.of_type("AWS::CloudWatch::Alarm").items()
        }
        self.composites = {
            name: CompositeAlarm(p["AlarmName"], p["AlarmRule"], pages=bool(p.get("AlarmActions")))
            for name, p in stack.of_type("AWS::CloudWatch::CompositeAlarm").items()
        }

    def evaluate(self, now: datetime) -> None:
        for alarm in self.metric_alarms.values():
            alarm.evaluate(self.metrics, now)
        states = {name: alarm.state for name, alarm in self.metric_alarms.items()}
        # In the template's order: a composite stands after those that it names.
        for name, composite in self.composites.items():
            composite.evaluate(states, now)
            states[name] = composite.state

    def __getitem__(self, name: str) -> MetricAlarm | CompositeAlarm:
        return self._every()[name]

    def in_alarm(self) -> set[str]:
        return {name for name, alarm in self._every().items() if alarm.state is AlarmState.ALARM}

    def pages(self) -> list[tuple[datetime, str]]:
        """Every time that a person was called, and by which alarm."""
        return sorted(
            (moment, name)
            for name, alarm in self._every().items()
            if alarm.pages
            for moment, state in alarm.history
            if state is AlarmState.ALARM
        )

    def _every(self) -> dict[str, MetricAlarm | CompositeAlarm]:
        return {**self.metric_alarms, **self.composites}


_ALARM = re.compile(r'ALARM\("\$\{(\w+)\}"\)')


def _holds(rule: str, states: Mapping[str, AlarmState]) -> bool:
    """Evaluates `ALARM("${Name}")`, NOT, AND, OR and parentheses, which bind as Python's do."""
    read = _ALARM.sub(lambda found: str(states[found[1]] is AlarmState.ALARM), rule)
    words = " ".join(re.sub(r"\b(AND|OR|NOT)\b", lambda found: found[0].lower(), read).split())
    assert re.fullmatch(r"(True|False|and|or|not|[() ])+", words), f"not understood: {rule}"
    return bool(eval(words))  # noqa: S307  nothing but these words
