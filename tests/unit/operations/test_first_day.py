"""What the report of the first day makes of things that are not as they should be."""

from typing import Any

import pytest

from scripts import first_day
from tests.unit.operations.test_checks import Account
from token_vending_ops.findings import CRITICAL, WARNING, Finding

WELL: dict[str, Any] = {
    "run_tests": lambda *_: first_day.TestRun(0, [("test_a", "passed")], []),
    "examine": lambda _stack: [Finding("lock", WARNING, "left")],
    "timings": lambda _stack: "times",
    "keys": lambda _stack: "keys",
    "look_for_drift": lambda _stack: ("IN_SYNC", True),
}
REFUSED = {"error": "AccessDeniedException"}


@pytest.fixture
def well(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, look in WELL.items():
        monkeypatch.setattr(first_day, name, look)
    return monkeypatch


def look() -> tuple[str, int]:
    parts, code = first_day._parts(Account(), {}, live_only=False)
    assert len(parts) == 6
    return "\n".join(parts), code


@pytest.mark.usefixtures("well")
def test_a_stack_that_only_wants_attention_is_as_it_should_be() -> None:
    text, code = look()
    assert code == 0
    assert "1 passed." in text


@pytest.mark.parametrize(
    ("name", "seen", "says"),
    [
        (
            "run_tests",
            first_day.TestRun(1, [("test_a", "passed"), ("test_b", "FAILED")]),
            "| test_b | FAILED |",
        ),
        ("examine", [Finding("grants", CRITICAL, "everybody may")], "CRITICAL  grants  everybody may"),
        ("look_for_drift", ("MODIFIED", False), "MODIFIED"),
    ],
)
def test_what_is_not_as_it_should_be_stands_in_the_report_and_the_exit_code(
    well: pytest.MonkeyPatch, name: str, seen: object, says: str
) -> None:
    well.setattr(first_day, name, lambda *_: seen)
    text, code = look()
    assert code == 1
    assert says in text


def test_a_part_that_aws_refuses_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WELL.items():
        if name != "keys":
            monkeypatch.setattr(first_day, name, value)
    stack = Account()
    stack.answers(
        "secretsmanager", [("describe_secret", REFUSED, {"SecretId": stack.outputs["TokenSecretArn"]})]
    )
    parts, code = first_day._parts(stack, {}, live_only=False)
    assert code == 1
    assert "AWS refused to tell: DescribeSecret: AccessDeniedException." in parts[4]
    assert parts[5].endswith("IN_SYNC")


def test_drift_is_told_by_resource() -> None:
    stack = Account()
    drift = {
        "StackId": "s",
        "LogicalResourceId": "VendRole",
        "ResourceType": "AWS::IAM::Role",
        "StackResourceDriftStatus": "MODIFIED",
    }
    status = {
        "StackId": "s",
        "StackDriftDetectionId": "d",
        "DetectionStatus": "DETECTION_COMPLETE",
        "StackDriftStatus": "DRIFTED",
        "Timestamp": "2026-11-24T00:00:00Z",
    }
    which = {
        "StackName": "tokens",
        "StackResourceDriftStatusFilters": ["MODIFIED", "DELETED"],
        "MaxResults": 100,
    }
    found = {"StackResourceDrifts": [drift | {"Timestamp": "2026-11-24T00:00:00Z"}]}
    stack.answers(
        "cloudformation",
        [
            ("detect_stack_drift", {"StackDriftDetectionId": "d"}, {"StackName": "tokens"}),
            ("describe_stack_drift_detection_status", status, {"StackDriftDetectionId": "d"}),
            ("describe_stack_resource_drifts", found, which),
        ],
    )
    text, in_sync = first_day.look_for_drift(stack)
    assert not in_sync
    assert "| VendRole | MODIFIED |" in text
