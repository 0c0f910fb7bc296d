"""What `make controls` makes of what the tools say."""

import pytest

from scripts import controls
from scripts.controls import Result

ACCEPTED = dict.fromkeys(controls.ACCEPTED, Result("known", failed={"Queue"}))


@pytest.mark.parametrize(
    ("results", "complete", "fault"),
    [
        (ACCEPTED, True, None),
        ({**ACCEPTED, "CKV_NEW": Result("new", passed={"Topic"})}, True, None),
        ({**ACCEPTED, "CKV_NEW": Result("new", failed={"Topic"})}, True, "CKV_NEW (new): Topic"),
        ({**ACCEPTED, "CKV_AWS_27": Result("known", passed={"Queue"})}, True, "CKV_AWS_27 passes"),
        # Without every tool a reason may look unneeded.
        ({}, False, None),
    ],
)
def test_only_a_control_that_fails_with_a_reason_is_accepted(
    results: controls.Results, *, complete: bool, fault: str | None
) -> None:
    found = list(controls.faults({"as it comes": results}, complete=complete))
    assert [text.startswith(fault or "") for text in found] == ([True] if fault else [])
