"""The dashboard is what CloudWatch documents, and shows what the functions and the alarms really speak of."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.template import STACK, Stack
from token_vending.audit import AuditEvent

SCHEMA = json.loads(Path(__file__).with_name("dashboard.schema.json").read_text())
# design names of the metrics; test_alarms.py shows that the functions emit them
METRICS = {
    "TokenRefreshed", "RefreshFailed", "TokenSecondsToExpiry", "TokenVended", "VendDenied", "TokenRejected",
    "VendCacheHit", "ForeignMinter", "CredentialsLatched",
}  # fmt: skip


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack()


@pytest.fixture(scope="module")
def body(stack: Stack) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(stack.properties("Dashboard")["DashboardBody"])
    return parsed


def metrics(widget: dict[str, Any]) -> list[list[Any]]:
    found: list[list[Any]] = widget["properties"].get("metrics", [])
    return [metric for metric in found if isinstance(metric[0], str)]


def test_the_body_follows_cloudwatchs_schema_and_another_would_not(stack: Stack) -> None:
    from jsonschema import Draft202012Validator  # noqa: PLC0415  three seconds to import

    body = json.loads(stack.properties("Dashboard")["DashboardBody"])
    Draft202012Validator.check_schema(SCHEMA)
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(body)] == []
    body["widgets"][0]["properties"]["view"] = "speedometer"
    assert not Draft202012Validator(SCHEMA).is_valid(body)


def test_no_two_widgets_lie_on_each_other_and_none_sticks_out(body: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in body["widgets"]:
        assert widget["x"] + widget["width"] <= 24
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken, widget["properties"]["title"]
        taken |= cells


def test_every_metric_of_ours_exists_and_carries_the_stacks_name(body: dict[str, Any]) -> None:
    ours = [m for widget in body["widgets"] for m in metrics(widget) if m[0] == "TokenVending"]
    assert ours
    assert {metric[1] for metric in ours} <= METRICS
    assert {tuple(metric[2:4]) for metric in ours} == {("stack", STACK)}


def test_every_metric_alarm_is_shown(stack: Stack, body: dict[str, Any]) -> None:
    (alarms,) = (w["properties"]["alarms"] for w in body["widgets"] if w["type"] == "alarm")
    assert alarms == [f"${{{name}.Arn}}" for name in stack.of_type("AWS::CloudWatch::Alarm")]


def test_the_audit_lines_are_asked_for_by_fields_that_they_have(body: dict[str, Any]) -> None:
    queries = [w["properties"]["query"] for w in body["widgets"] if w["type"] == "log"]
    (audit,) = (query for query in queries if "audit.outcome" in query)
    assert set(re.findall(r"audit\.(\w+)", audit)) <= set(AuditEvent._fields)
    assert "limit 20" in audit
    assert all("SOURCE '${VendLogGroup}'" in query for query in queries)


def test_the_line_of_renewal_is_where_the_parameter_puts_it() -> None:
    body = json.loads(Stack({"RenewBeforeDays": "60"}).properties("Dashboard")["DashboardBody"])
    lines = {a["label"]: a["value"] for a in body["widgets"][1]["properties"]["annotations"]["horizontal"]}
    assert lines == {"renewed from here": 60, "alarm": 14}
