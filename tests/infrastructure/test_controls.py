"""What `make controls` makes of what the tools say."""

import pytest

from scripts import controls
from scripts.controls import Result

ACCEPTED = dict.fromkeys(controls.ACCEPTED, Result("known", failed={"Queue"}))


@pytest.mark.parametrize(
    ("results", "fault"),
    [
        (ACCEPTED, None),
        ({**ACCEPTED, "CKV_NEW": Result("new", passed={"Topic"})}, None),
        ({**ACCEPTED, "CKV_NEW": Result("new", failed={"Topic"})}, "CKV_NEW (new): Topic"),
        ({**ACCEPTED, "CKV_AWS_27": Result("known", passed={"Queue"})}, "CKV_AWS_27 passes"),
    ],
)
def test_only_a_control_that_fails_with_a_reason_is_accepted(
    results: controls.Results, fault: str | None
) -> None:
    found = list(controls.faults({"as it comes": results}, complete=True))
    assert [text.startswith(fault or "") for text in found] == ([True] if fault else [])


def test_without_every_tool_a_reason_may_look_unneeded() -> None:
    assert list(controls.faults({"as it comes": {}}, complete=False)) == []
