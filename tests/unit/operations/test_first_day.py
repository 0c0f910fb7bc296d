"""What the report of the first day makes of things that are not as they should be."""

from unittest.mock import MagicMock, Mock

import pytest
from botocore.exceptions import ClientError

from scripts import first_day
from tests.unit.operations.test_checks import Account
from token_vending_ops.findings import CRITICAL, WARNING, Finding

WELL: dict[str, object] = {
    "run_tests": first_day.TestRun(0, [("test_a", "passed")], []),
    "examine": [Finding("lock", WARNING, "left")],
    "timings": "times",
    "keys": "keys",
    "look_for_drift": ("IN_SYNC", True),
}
REFUSED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeSecret")


@pytest.mark.parametrize(
    ("name", "seen", "code", "says"),
    [
        ("keys", "no key", 0, "1 passed."),
        (
            "run_tests",
            first_day.TestRun(1, [("test_a", "passed"), ("test_b", "FAILED")], []),
            1,
            "| test_b | FAILED |",
        ),
        ("examine", [Finding("grants", CRITICAL, "everybody may")], 1, "CRITICAL  grants  everybody may"),
        ("look_for_drift", ("MODIFIED", False), 1, "MODIFIED"),
        ("keys", REFUSED, 1, "AWS refused to tell: DescribeSecret: AccessDeniedException."),
    ],
)
def test_what_is_not_as_it_should_be_stands_in_the_report_and_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, name: str, seen: object, code: int, says: str
) -> None:
    for part, value in {**WELL, name: seen}.items():
        look = Mock(side_effect=value) if isinstance(value, Exception) else Mock(return_value=value)
        monkeypatch.setattr(first_day, part, look)
    parts, found = first_day._parts(Account(), {}, live_only=False)
    assert (len(parts), found) == (6, code)
    assert says in "\n".join(parts)


def test_drift_is_told_by_resource() -> None:
    formation, stack = MagicMock(), Account()
    formation.describe_stack_drift_detection_status.return_value = {"DetectionStatus": "DETECTION_COMPLETE"}
    formation.describe_stack_resource_drifts.return_value = {
        "StackResourceDrifts": [{"LogicalResourceId": "VendRole", "StackResourceDriftStatus": "MODIFIED"}]
    }
    stack.client = Mock(return_value=formation)
    text, in_sync = first_day.look_for_drift(stack)
    assert not in_sync
    assert "| VendRole | MODIFIED |" in text
