"""The evaluation of alarms, against the cases that CloudWatch's documentation gives."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.infrastructure.cloudwatch import AlarmState, CompositeAlarm, MetricAlarm, Metrics, metric_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = metric_key("N", "m", {"d": "1"})
OK, ALARM, RETAINED = AlarmState.OK, AlarmState.ALARM, AlarmState.INSUFFICIENT_DATA


def judge(points: str, missing: str, needed: int) -> AlarmState:
    """`points` are the last five periods, oldest first: X breaches, 0 does not, - is missing."""
    metrics = Metrics()
    for age, point in enumerate(reversed(points.split())):
        if point != "-":
            metrics.add(KEY, float(point == "X"), NOW - age * MINUTE)
    judged = MetricAlarm("a", KEY, "Sum", "GreaterThanThreshold", 0, MINUTE, 3, needed, missing, pages=True)
    judged.evaluate(metrics, NOW)
    return judged.state


# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
@pytest.mark.parametrize(
    ("points", "needed", "breaching", "not_breaching", "ignore"),
    [
        ("0 - X - X", 3, OK, OK, OK),
        ("0 - - - -", 3, OK, OK, OK),
        ("- - - - -", 3, ALARM, OK, RETAINED),
        ("0 X X - X", 3, ALARM, ALARM, ALARM),
        ("- - X - -", 3, ALARM, OK, RETAINED),
        ("0 - X - X", 2, ALARM, ALARM, None),
        ("0 0 X 0 X", 2, ALARM, ALARM, None),
        ("0 - X - -", 2, ALARM, OK, None),
        ("- - - - 0", 2, ALARM, OK, None),
        ("- - - X -", 2, ALARM, OK, None),
    ],
)
def test_an_alarm_over_three_periods_changes_state_as_cloudwatch_says(
    points: str, needed: int, breaching: AlarmState, not_breaching: AlarmState, ignore: AlarmState | None
) -> None:
    assert judge(points, "breaching", needed) is breaching
    assert judge(points, "notBreaching", needed) is not_breaching
    assert ignore is None or judge(points, "ignore", needed) is ignore


@pytest.mark.parametrize(
    ("alarming", "expected"),
    [("", OK), ("A", ALARM), ("B", ALARM), ("BC", OK), ("C", OK), ("ABC", ALARM)],
)
def test_a_composite_alarm_follows_its_rule(alarming: str, expected: AlarmState) -> None:
    composite = CompositeAlarm("c", 'ALARM("${A}") OR (ALARM("${B}") AND NOT ALARM("${C}"))', pages=True)
    composite.evaluate({name: ALARM if name in alarming else OK for name in "ABC"}, NOW)
    assert composite.state is expected
