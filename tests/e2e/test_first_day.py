"""`make first-day` and `make live` as an operator runs them, on the embedded stack.

Their tests of Secrets Manager make their scratch secret in the strict stand-in: the emulator's is not faithful.
"""

import json
import os
import re
import subprocess
import time

import pytest

from tests.kit.secrets_manager.server import SecretsManager
from tests.kit.stack import EmbeddedStack
from tests.kit.stack.embedded import ROOT

ANYBODY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
pytestmark = pytest.mark.timeout(300)


def report_of(
    stack: EmbeddedStack, verb: str, *arguments: str, **environment: str
) -> tuple[int, str, SecretsManager]:
    """Exit code, report, and the stand-in as it was left."""
    report = ROOT / ".build" / f"{verb}.md"
    report.unlink(missing_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "AWS_"))}
    with SecretsManager() as scratch:
        finished = subprocess.run(
            ["make", "--assume-old=setup", verb, "STACK=token-vending", *arguments],
            cwd=ROOT,
            env={
                **kept,
                **stack.ministack.environment,
                "SCRATCH_ENDPOINT_URL": scratch.url,
                "SMOKE_DOOR": stack.ministack.url,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
    assert report.exists(), finished.stdout
    return finished.returncode, report.read_text(), scratch


def platform_report(stack: EmbeddedStack, function: str, request: str, status: str, **metrics: float) -> None:
    """A line that Lambda writes and the emulator does not."""
    logs, group = stack.client("logs"), f"/aws/lambda/token-vending/{function}"
    stream = f"platform/{time.monotonic_ns()}"
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    record = {"requestId": request, "status": status, "metrics": metrics}
    line = json.dumps({"type": "platform.report", "record": record})
    event = {"timestamp": int(time.time() * 1000), "message": line}
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])


def rows(report: str, section: str) -> list[list[str]]:
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", report, re.DOTALL | re.MULTILINE)
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_the_first_day_reports_what_was_seen_of_every_part(minted: EmbeddedStack) -> None:
    minted.refresh({})
    platform_report(minted, "vend", "a", "success", initDurationMs=200.0, durationMs=10.0)
    platform_report(minted, "vend", "b", "success", restoreDurationMs=90.0, durationMs=20.0)
    platform_report(minted, "refresh", "c", "timeout", durationMs=45000.0)
    platform_report(minted, "refresh", "c", "success", durationMs=900.0)
    role = minted.client("iam").create_role(RoleName="stranger", AssumeRolePolicyDocument=json.dumps(ANYBODY))
    allowed = ("WRITE=1", "QUOTA=1", "REFRESH=1")
    code, report, scratch = report_of(minted, "first-day", *allowed, f"PROBE_ROLE_ARN={role['Role']['Arn']}")
    assert code == 0, report
    assert f"Allowed: {', '.join(allowed)}." in report
    learnt = {(what, name): saw for what, name, saw in rows(report, "Secrets Manager")[2:] if saw}
    assert learnt["20 concurrent moves of a free label, 5 times: answers", "done"] == "5"
    assert learnt["20 writes, each read at once", "stale_reads"] == "0"
    assert learnt["versions written without a pause", "then"] == "LimitExceededException"
    assert re.search(r"REFUSED-standby:[0-9a-f-]{36}", report)
    measured = rows(report, "Starts and runs of the last day, by Lambda's own reports")
    assert ["vend", "cold start", "1", "200.0", "200.0", "200.0"] in measured
    assert ["vend", "restore from a snapshot", "1", "90.0", "90.0", "90.0"] in measured
    assert ["vend", "run", "2", "15.0", "19.9", "20.0"] in measured
    assert ["refresh", "runs that Lambda repeated", "1", "", "", ""] in measured
    assert ["refresh", "runs that ended in timeout", "1", "", "", ""] in measured
    assert [row[2] for row in rows(report, "Keys")[2:]] == ["yes", "yes"]
    assert "DETECTION_COMPLETE: IN_SYNC." in report
    assert "the direct caller policy allows what it should" in report
    assert re.search(r"^## Doors and permissions\n\n8 passed\.$", report, re.MULTILINE)
    assert scratch.counts()["CreateSecret"] == scratch.counts()["DeleteSecret"] > 20
    assert scratch.snapshot() == {}


def test_without_permission_the_live_suite_writes_nothing(minted: EmbeddedStack) -> None:
    mints, version = minted.personr.mint_count(), minted.current_version()
    code, report, scratch = report_of(minted, "live", WRITE="1")
    assert code == 0, report
    assert "Allowed: nothing: read only." in report
    assert [row[:2] for row in rows(report, "Secrets Manager")[2:5]] == [
        ["the token secret", name] for name in ("labels", "versions", "key")
    ]
    assert scratch.calls == []
    assert (minted.personr.mint_count(), minted.current_version()) == (mints, version)
