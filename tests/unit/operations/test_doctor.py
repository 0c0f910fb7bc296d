"""What the doctor makes of what it sees, and how it says so."""

import json
from datetime import timedelta
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from tests.unit.operations.test_checks import NOW, Account, Answers
from token_vending_ops import doctor
from token_vending_ops.checks.secrets import credentials_fault, judge_token
from token_vending_ops.deployed import Parts
from token_vending_ops.findings import (
    CRITICAL,
    OK,
    UNKNOWN,
    WARNING,
    Finding,
    Severity,
    as_json,
    as_table,
    exit_code,
)

SECRET = "bus|1700000000000x111111111111111111|1700000000000x222222222222222222"


def token(expires_in: timedelta) -> str:
    return json.dumps(
        {
            "access_token": SECRET,
            "issued_at": (NOW - timedelta(days=3)).isoformat(),
            "expires_at": (NOW + expires_in).isoformat(),
            "reason": "forced",
            "credentials_version": "version-1",
        }
    )


@pytest.mark.parametrize(
    ("text", "severity", "says"),
    [
        (token(timedelta(days=200)), OK, "minted 3 days ago because of forced, expires in 200 days"),
        (token(timedelta(days=13)), CRITICAL, "expires in 13 days"),
        (token(timedelta(hours=-5)), CRITICAL, "expired 5 hours ago"),
        ('{"intent": "run-1"}', CRITICAL, "only the intent"),
        ("oops", CRITICAL, "overwritten"),
        ("", CRITICAL, "none yet"),
    ],
)
def test_the_token_is_judged_by_its_times(text: str | None, severity: Severity, says: str) -> None:
    finding = judge_token(text, NOW, mend="mend it")
    assert finding.severity is severity
    assert says in finding.saw
    assert SECRET not in repr(finding)


def test_how_soon_a_token_expires_is_judged_by_the_stacks_own_alarm() -> None:
    left_ten_days = token(timedelta(days=10))
    assert judge_token(left_ten_days, NOW, mend="").severity is CRITICAL
    assert judge_token(left_ten_days, NOW, mend="", soon=timedelta(hours=1)).severity is OK


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"email": "a@example.com", "password": "p:q"}', ""),
        (None, "not a JSON object"),
        ('{"password": "hunter2"}', "'email' is missing"),
    ],
)
def test_credentials_that_cannot_be_used_are_named_without_showing_them(text: str | None, says: str) -> None:
    fault = credentials_fault(text)
    assert says in fault if says else fault == ""
    assert "hunter2" not in fault


def test_credentials_are_judged_by_what_the_stacks_issuer_takes() -> None:
    oauth2 = '{"client_id": "i", "client_secret": "s"}'
    assert credentials_fault(oauth2, "oauth2-client-credentials") == ""
    assert "'email' is missing" in credentials_fault(oauth2)


@pytest.mark.parametrize(
    ("severities", "code"),
    [([], 0), ([OK], 0), ([OK, UNKNOWN], 1), ([WARNING, UNKNOWN], 1), ([CRITICAL, OK], 2)],
)
def test_the_worst_finding_decides_the_exit_code(severities: list[Severity], code: int) -> None:
    assert exit_code([Finding("check", severity, "saw") for severity in severities]) == code


def test_a_person_and_a_machine_read_the_same() -> None:
    findings = [Finding("lock", OK, "free"), Finding("schedule", CRITICAL, "disabled", "aws x")]
    lines = [line.split() for line in as_table(findings).splitlines()]
    assert lines[:3] == [["OK", "lock", "free"], ["CRITICAL", "schedule", "disabled"], ["$", "aws", "x"]]
    assert json.loads(as_json(findings[1:])) == {
        "exit_code": 2,
        "findings": [{"check": "schedule", "severity": "CRITICAL", "saw": "disabled", "mend": "aws x"}],
    }


def intent(age: timedelta) -> str:
    return json.dumps({"intent": "run-1", "started_at": (NOW - age).isoformat(), "reason": "too_old"})


@pytest.mark.parametrize(
    ("held", "severity", "says"),
    [
        (intent(timedelta(seconds=9)), OK, "held by a run that began 9 seconds ago"),
        (intent(timedelta(hours=3)), WARNING, "left by a run that died 3 hours ago"),
        ('{"intent": "run-1"}', WARNING, "left by a run that died and may"),
        (token(timedelta(days=9)), WARNING, "no intent of ours"),
    ],
)
def test_the_lock_is_judged_by_the_version_under_it(held: str, severity: Severity, says: str) -> None:
    stack, secret = Account(), {"SecretId": "arn:aws:secretsmanager:::token"}
    held_id, current_id = "h" * 32, "c" * 32
    labels = {held_id: ["MINTING"], current_id: ["AWSCURRENT"]}
    answers: Answers = [("describe_secret", {"VersionIdsToStages": labels}, secret)]
    for version, text in ((held_id, held), (current_id, "not JSON")):
        answers.append(("get_secret_value", {"SecretString": text}, {**secret, "VersionId": version}))
    stack.answers("secretsmanager", answers)
    lock, latch = stack.look("lock")
    assert lock.severity is severity
    assert says in lock.saw
    assert (latch.check, latch.severity) == ("latch", OK)


def test_a_stack_without_outputs_and_resources_is_told_check_by_check() -> None:
    stack = Account()
    stack.outputs, stack.resources, stack.parameters = Parts(), Parts(), Parts()
    stack.client = Mock(return_value=None)
    findings = doctor.examine(stack, NOW)
    assert {finding.check for finding in findings} >= doctor.CHECKS.keys() - {"stack"}
    for finding in findings[1:]:
        assert finding.severity is CRITICAL or "could not be examined" in finding.saw, finding
    assert "the stack has no TokenSecretArn" in next(f for f in findings if f.check == "token").saw


DEPLOY = "sam deploy --stack-name tokens"


@pytest.mark.parametrize(
    ("check", "error", "says", "mend"),
    [
        ("lock", ValueError(SECRET), "could not be examined: ValueError", ""),
        ("lock", "AccessDenied", "AWS refused to tell: Look: AccessDenied", ""),
        ("token", "InvalidRequestException", "marked for deletion", "--secret-id {TokenSecretArn}"),
        ("credentials", "InvalidRequestException", "marked", "--secret-id {CredentialsSecretArn}"),
        ("token", "ResourceNotFoundException", "secret is gone", DEPLOY),
        ("schedule", "ResourceNotFoundException", "#no-tick", DEPLOY),
        ("roles", "NoSuchEntity", "is gone", DEPLOY),
        ("dead letters", "AWS.SimpleQueueService.NonExistentQueue", "is gone", DEPLOY),
    ],
)
def test_a_check_that_fails_is_a_finding_without_the_errors_text_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, check: str, error: Exception | str, says: str, mend: str
) -> None:
    if isinstance(error, str):
        error = ClientError({"Error": {"Code": error, "Message": SECRET}}, "Look")
    fine, stack = Finding("fine", OK, "well"), Account()
    checks = {check: Mock(side_effect=error), "fine": lambda _stack, _now: [fine]}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    finding, other = doctor.examine(stack, NOW)
    assert (finding.check, finding.severity, other) == (check, CRITICAL if mend else UNKNOWN, fine)
    assert says in finding.saw
    assert SECRET not in finding.saw
    assert finding.mend.endswith(mend.format_map(stack.outputs))
