"""The evaluation of alarms, against the cases that CloudWatch's documentation gives."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.infrastructure.cloudwatch import AlarmState, CompositeAlarm, MetricAlarm, Metrics, metric_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = metric_key("N", "m", {"d": "1"})
OK, ALARM, RETAINED = AlarmState.OK, AlarmState.ALARM, AlarmState.INSUFFICIENT_DATA


def alarm(missing: str, needed: int, of: int = 3) -> MetricAlarm:
    return MetricAlarm("a", KEY, "Sum", "GreaterThanThreshold", 0, MINUTE, of, needed, missing, pages=True)


def judge(points: str, missing: str, needed: int) -> AlarmState:
    """`points` are the last five periods, oldest first: X breaches, 0 does not, - is missing."""
    metrics = Metrics()
    for age, point in enumerate(reversed(points.split())):
        if point != "-":
            metrics.add(KEY, float(point == "X"), NOW - age * MINUTE)
    judged = alarm(missing, needed)
    judged.evaluate(metrics, NOW)
    return judged.state


# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
@pytest.mark.parametrize(
    ("points", "breaching", "not_breaching", "ignore"),
    [
        ("0 - X - X", OK, OK, OK),
        ("0 - - - -", OK, OK, OK),
        ("- - - - -", ALARM, OK, RETAINED),
        ("0 X X - X", ALARM, ALARM, ALARM),
        ("- - X - -", ALARM, OK, RETAINED),
    ],
)
def test_an_alarm_of_three_datapoints_out_of_three_changes_state_as_cloudwatch_says(
    points: str, breaching: AlarmState, not_breaching: AlarmState, ignore: AlarmState
) -> None:
    assert judge(points, "breaching", 3) is breaching
    assert judge(points, "notBreaching", 3) is not_breaching
    assert judge(points, "ignore", 3) is ignore


@pytest.mark.parametrize(
    ("points", "breaching", "not_breaching"),
    [
        ("0 - X - X", ALARM, ALARM),
        ("0 0 X 0 X", ALARM, ALARM),
        ("0 - X - -", ALARM, OK),
        ("- - - - 0", ALARM, OK),
        ("- - - X -", ALARM, OK),
    ],
)
def test_an_alarm_of_two_datapoints_out_of_three_changes_state_as_cloudwatch_says(
    points: str, breaching: AlarmState, not_breaching: AlarmState
) -> None:
    assert judge(points, "breaching", 2) is breaching
    assert judge(points, "notBreaching", 2) is not_breaching


def test_a_change_of_state_is_kept_once() -> None:
    metrics = Metrics()
    metrics.add(KEY, 1, NOW)
    watched = alarm("notBreaching", 1, of=1)
    for minute in range(4):
        watched.evaluate(metrics, NOW + minute * MINUTE)
    assert watched.history == [(NOW, ALARM), (NOW + 3 * MINUTE, OK)]


@pytest.mark.parametrize(
    ("alarming", "expected"),
    [(set(), OK), ({"A"}, ALARM), ({"B"}, ALARM), ({"B", "C"}, OK), ({"C"}, OK), ({"A", "B", "C"}, ALARM)],
)
def test_a_composite_alarm_follows_its_rule(alarming: set[str], expected: AlarmState) -> None:
    composite = CompositeAlarm("c", 'ALARM("${A}") OR (ALARM("${B}") AND NOT ALARM("${C}"))', pages=True)
    composite.evaluate({name: ALARM if name in alarming else OK for name in "ABC"}, NOW)
    assert composite.state is expected


def test_embedded_metrics_are_read_and_other_lines_passed_over() -> None:
    metrics = Metrics()
    line = (
        '{"_aws": {"Timestamp": 1767225600000, "CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["d"]],'
        ' "Metrics": [{"Name": "m", "Unit": "Count"}]}]}, "d": "1", "m": [1.0, 2.0]}'
    )
    metrics.add_embedded(["START", '{"message": "m"}', "[1]", line])
    assert metrics.within(KEY, NOW - MINUTE, NOW) == [1.0, 2.0]
