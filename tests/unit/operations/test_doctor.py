"""What the doctor makes of what it sees, and how it says so."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from token_vending_ops import doctor
from token_vending_ops.checks.secrets import credentials_fault, judge_token
from token_vending_ops.deployed import DeployedStack, Parts
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

NOW = datetime(2026, 11, 24, tzinfo=UTC)
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
        ("[1]", CRITICAL, "overwritten"),
        ('{"access_token": "x"}', CRITICAL, "overwritten"),
        (token(timedelta(days=200)).replace("+00:00", ""), CRITICAL, "overwritten"),
        (token(timedelta(days=200)).replace("issued_at", "minted"), CRITICAL, "overwritten"),
        (None, CRITICAL, "overwritten"),
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
        ('{"username": "a@example.com", "password": "p"}', ""),
        ("", "not valid JSON"),
        (None, "not a JSON object"),
        ('"hunter2"', "not a JSON object"),
        ('{"password": "hunter2"}', "'email' is missing"),
        ('{"email": 1, "password": "hunter2"}', "'email' is not a non-empty string"),
        ('{"email": "a:b@example.com", "password": "hunter2"}', "colon"),
        ('{"email": "a@example.com"}', "'password' is missing"),
        ('{"email": "a@example.com", "password": " "}', "'password' is not a non-empty string"),
        ('{"email": "a@example.com", "password": "hunter2\\n"}', "control character"),
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


def test_the_table_shows_the_mend_under_its_finding() -> None:
    findings = [Finding("lock", OK, "free"), Finding("schedule", CRITICAL, "disabled", "aws x")]
    lines = as_table(findings).splitlines()
    assert lines[0].split() == ["OK", "lock", "free"]
    assert lines[1].split() == ["CRITICAL", "schedule", "disabled"]
    assert lines[2].split() == ["$", "aws", "x"]
    assert lines[-1] == "2 checks, worst: CRITICAL"


def test_a_machine_reads_the_same() -> None:
    report = json.loads(as_json([Finding("lock", WARNING, "left", "aws x")]))
    assert report == {
        "exit_code": 1,
        "findings": [{"check": "lock", "severity": "WARNING", "saw": "left", "mend": "aws x"}],
    }


class Secrets:
    """A Secrets Manager client with a token secret of these versions and labels."""

    def __init__(self, versions: dict[str, str], labels: dict[str, str]) -> None:
        self._versions = versions
        self._labels = labels

    def describe_secret(self, **_: str) -> dict[str, Any]:
        return {"VersionIdsToStages": {version: [label] for label, version in self._labels.items()}}

    def get_secret_value(self, *, SecretId: str, VersionId: str) -> dict[str, str]:  # noqa: N803
        del SecretId
        return {"SecretString": self._versions[VersionId]}


class SickStack(DeployedStack):
    """A stack that answers whatever a test wants, without an account."""

    def __init__(self, *, client: object = None, outputs: tuple[str, ...] = ()) -> None:
        self.name = "sick"
        self.status = "CREATE_COMPLETE"
        self.outputs = Parts((name, f"arn:{name}") for name in outputs)
        self.resources = Parts()
        self.parameters = Parts()
        self.client = lambda _service: client  # type: ignore[assignment]


def intent(age: timedelta) -> str:
    return json.dumps({"intent": "run-1", "started_at": (NOW - age).isoformat(), "reason": "too_old"})


@pytest.mark.parametrize(
    ("held", "severity", "says"),
    [
        (intent(timedelta(seconds=9)), OK, "held by a run that began 9 seconds ago"),
        (intent(timedelta(hours=3)), WARNING, "left by a run that died 3 hours ago"),
        ('{"intent": "run-1"}', WARNING, "left by a run that died and may"),
        ('{"intent": "run-1", "started_at": "2026-11-24T00:00:00"}', WARNING, "left by a run that died"),
        ("not JSON", WARNING, "no intent of ours"),
        (token(timedelta(days=9)), WARNING, "no intent of ours"),
    ],
)
def test_the_lock_is_judged_by_the_version_under_it(held: str, severity: Severity, says: str) -> None:
    secrets = Secrets(
        {"held": held, "current": "not JSON either"}, {"MINTING": "held", "AWSCURRENT": "current"}
    )
    stack = SickStack(client=secrets, outputs=("TokenSecretArn", "RefreshFunctionName"))
    lock, latch = doctor.CHECKS["lock"](stack, NOW)
    assert lock.severity is severity
    assert says in lock.saw
    assert (latch.check, latch.severity) == ("latch", OK)


def test_a_stack_without_outputs_and_resources_is_told_check_by_check() -> None:
    findings = doctor.examine(SickStack(), NOW)
    assert {finding.check for finding in findings} >= doctor.CHECKS.keys() - {"stack"}
    for finding in findings[1:]:
        assert finding.severity is CRITICAL or "could not be examined" in finding.saw, finding
    assert "the stack has no TokenSecretArn" in next(f for f in findings if f.check == "token").saw


def _raising(error: Exception) -> Any:
    def check(_stack: object, _now: object) -> list[Finding]:
        raise error

    return check


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError(SECRET), "could not be examined: ValueError"),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": SECRET}}, "GetSchedule"),
            "AWS refused to tell: GetSchedule: AccessDenied",
        ),
    ],
)
def test_a_check_that_fails_is_a_finding_without_the_errors_text_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    fine = Finding("fine", OK, "well")
    monkeypatch.setattr(doctor, "CHECKS", {"lock": _raising(error), "fine": lambda _stack, _now: [fine]})
    assert doctor.examine(SickStack(), NOW) == [Finding("lock", UNKNOWN, says), fine]


@pytest.mark.parametrize(
    ("check", "code", "says", "mend"),
    [
        (
            "token",
            "InvalidRequestException",
            "marked for deletion",
            "restore-secret --secret-id arn:TokenSecretArn",
        ),
        ("credentials", "InvalidRequestException", "marked", "--secret-id arn:CredentialsSecretArn"),
        ("token", "ResourceNotFoundException", "secret is gone", "sam deploy --stack-name sick"),
        ("schedule", "ResourceNotFoundException", "#no-tick", "sam deploy --stack-name sick"),
        ("roles", "NoSuchEntity", "is gone", "sam deploy --stack-name sick"),
        (
            "dead letters",
            "AWS.SimpleQueueService.NonExistentQueue",
            "is gone",
            "sam deploy --stack-name sick",
        ),
    ],
)
def test_what_is_gone_is_critical_and_comes_with_its_mend(
    monkeypatch: pytest.MonkeyPatch, check: str, code: str, says: str, mend: str
) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "secret detail"}}, "Look")
    monkeypatch.setattr(doctor, "CHECKS", {check: _raising(error)})
    (finding,) = doctor.examine(SickStack(outputs=("TokenSecretArn", "CredentialsSecretArn")), NOW)
    assert finding.severity is CRITICAL
    assert says in finding.saw
    assert finding.mend.endswith(mend)
