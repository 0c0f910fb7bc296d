"""What the doctor makes of what it sees, and how it says so."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from token_vending_ops import doctor
from token_vending_ops.doctor import credentials_fault, judge_token
from token_vending_ops.findings import Finding, Severity, as_json, as_table, exit_code

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SECRET = "bus|1700000000000x111111111111111111|1700000000000x222222222222222222"


def token(expires_in: timedelta) -> str:
    return json.dumps(
        {
            "access_token": SECRET,
            "issued_at": (NOW - timedelta(days=3)).isoformat(),
            "expires_at": (NOW + expires_in).isoformat(),
            "reason": "forced",
        }
    )


@pytest.mark.parametrize(
    ("text", "severity", "says"),
    [
        (token(timedelta(days=200)), Severity.OK, "minted 3 days ago because of forced, expires in 200 days"),
        (token(timedelta(days=13)), Severity.CRITICAL, "expires in 13 days"),
        (token(timedelta(hours=-5)), Severity.CRITICAL, "expired 5 hours ago"),
        ('{"intent": "run-1"}', Severity.CRITICAL, "only the intent"),
        ("oops", Severity.CRITICAL, "overwritten"),
        ("[1]", Severity.CRITICAL, "overwritten"),
        ('{"access_token": "x"}', Severity.CRITICAL, "overwritten"),
        ('{"issued_at": "yesterday", "expires_at": "tomorrow"}', Severity.CRITICAL, "overwritten"),
    ],
)
def test_the_token_is_judged_by_its_times(text: str, severity: Severity, says: str) -> None:
    finding = judge_token(text, NOW, mend="mend it")
    assert finding.severity is severity
    assert says in finding.saw
    assert SECRET not in repr(finding)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"email": "a@example.com", "password": "p:q"}', ""),
        ('{"username": "a@example.com", "password": "p"}', ""),
        ("", "not JSON"),
        ('"hunter2"', "not a JSON object"),
        ('{"password": "hunter2"}', "'email' is missing"),
        ('{"email": 1, "password": "hunter2"}', "'email' is missing"),
        ('{"email": "a:b@example.com", "password": "hunter2"}', "colon"),
        ('{"email": "a@example.com"}', "'password' is missing"),
        ('{"email": "a@example.com", "password": ""}', "'password' is missing"),
    ],
)
def test_credentials_that_cannot_be_used_are_named_without_showing_them(text: str, says: str) -> None:
    fault = credentials_fault(text)
    assert says in fault if says else fault == ""
    assert "hunter2" not in fault


@pytest.mark.parametrize(
    ("severities", "code"),
    [
        ([], 0),
        ([Severity.OK], 0),
        ([Severity.OK, Severity.UNKNOWN], 1),
        ([Severity.WARNING, Severity.UNKNOWN], 1),
        ([Severity.CRITICAL, Severity.OK], 2),
    ],
)
def test_the_worst_finding_decides_the_exit_code(severities: list[Severity], code: int) -> None:
    assert exit_code([Finding("check", severity, "saw") for severity in severities]) == code


def test_the_table_shows_the_mend_under_its_finding() -> None:
    findings = [
        Finding("lock", Severity.OK, "free"),
        Finding("schedule", Severity.CRITICAL, "disabled", "aws x"),
    ]
    lines = as_table(findings).splitlines()
    assert lines[0].split() == ["OK", "lock", "free"]
    assert lines[1].split() == ["CRITICAL", "schedule", "disabled"]
    assert lines[2].split() == ["$", "aws", "x"]
    assert lines[-1] == "2 checks, worst: CRITICAL"


def test_a_machine_reads_the_same() -> None:
    report = json.loads(as_json([Finding("lock", Severity.WARNING, "left", "aws x")]))
    assert report == {
        "exit_code": 1,
        "findings": [{"check": "lock", "severity": "WARNING", "saw": "left", "mend": "aws x"}],
    }


def test_a_check_that_aws_refuses_is_a_finding_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_stack: object, _now: object) -> list[Finding]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "secret detail"}}, "GetSchedule")

    def fine(_stack: object, _now: object) -> list[Finding]:
        return [Finding("fine", Severity.OK, "well")]

    monkeypatch.setattr(doctor, "CHECKS", {"schedule": refused, "fine": fine})
    findings = doctor.examine(object(), NOW)  # type: ignore[arg-type]
    assert findings[0] == Finding(
        "schedule", Severity.UNKNOWN, "AWS refused to tell: GetSchedule: AccessDenied"
    )
    assert findings[1].check == "fine"
