"""What AWS really does with a deployed stack, in one report: docs/first-day.md.

Runs the smoke tests and the live tests, asks the doctor, sums up the functions' own timings, has CloudFormation look
for drift, and writes all of it into a Markdown file. Reads only, but for what --write, --quota and --refresh allow.
The report holds times, counts, names of tests and of resources: no answer of a function and no content of a secret.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from scripts.pages import ROOT, table
from token_vending_ops.deployed import DeployedStack, NoSuchStackError
from token_vending_ops.doctor import examine
from token_vending_ops.findings import COULD_NOT_LOOK, Finding, as_table, exit_code

SMOKE = ["tests/e2e/test_smoke.py"]
LIVE = ["tests/contract", "-m", "live"]
PERMISSIONS = ("WRITE", "QUOTA", "REFRESH")
LOOKS_BACK = timedelta(hours=24)
DRIFT_WITHIN_SECONDS = 300.0
SUFFERING = 2
"""The doctor's exit code from which the first day counts as failed."""

type Seen = tuple[str, bool]
"""A part of the report, and whether all in it is as it should be."""


@dataclass(frozen=True)
class TestRun:
    """What pytest said: an outcome by test, and what the tests noted as learnt."""

    code: int
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    learnt: list[dict[str, Any]] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 all as it should be, 1 something was otherwise (the report says what), 3 the stack could not be seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--live-only", action="store_true", help="only the live tests of the token store")
    parser.add_argument("--write", action="store_true", help="allow a scratch secret, made and deleted again")
    parser.add_argument("--quota", action="store_true", help="allow up to 150 versions in it (with --write)")
    parser.add_argument("--refresh", action="store_true", help="allow one mint: every caller gets one 401")
    chosen = parser.parse_args(arguments)
    try:
        stack = DeployedStack(chosen.stack, boto3.Session())
    except (NoSuchStackError, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{error}\n")
        return COULD_NOT_LOOK
    allowed = {name: "1" for name in PERMISSIONS if getattr(chosen, name.lower())}
    parts, code = _parts(stack, allowed, live_only=chosen.live_only)
    chosen.report.parent.mkdir(parents=True, exist_ok=True)
    title = "Live tests" if chosen.live_only else "First day"
    permitted = ", ".join(f"{name}=1" for name in allowed) or "nothing: read only"
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {stack.region}"
    text = f"# {title} of {stack.name}\n\n{when}. Allowed: {permitted}.\n\n" + "\n".join(parts)
    chosen.report.write_text(text, encoding="utf-8")
    print(f"{text}\nwritten to {chosen.report}")
    return code


def _parts(stack: DeployedStack, allowed: dict[str, str], *, live_only: bool) -> tuple[list[str], int]:
    looks: dict[str, Callable[[], Seen]] = {
        "Secrets Manager": lambda: _tests(run_tests(LIVE, stack.name, allowed)),
        "Doors and permissions": lambda: _tests(run_tests(SMOKE, stack.name, allowed)),
        "Doctor": lambda: _doctor(examine(stack)),
        "Starts and runs of the last day, by Lambda's own reports": lambda: (timings(stack), True),
        "Keys": lambda: (keys(stack), True),
        "Drift": lambda: look_for_drift(stack),
    }
    parts, well = [], True
    for title, look in list(looks.items())[: 1 if live_only else None]:
        try:
            text, as_it_should_be = look()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            text, as_it_should_be = f"AWS refused to tell: {error.operation_name}: {code}.\n", False
        parts.append(f"## {title}\n\n{text}")
        well = well and as_it_should_be
    return parts, int(not well)


def _doctor(findings: Sequence[Finding]) -> Seen:
    return f"```\n{as_table(findings)}```\n", exit_code(findings) < SUFFERING


# --- tests ------------------------------------------------------------------------------------------------


def run_tests(which: Sequence[str], stack: str, allowed: dict[str, str]) -> TestRun:
    """Runs them in a process of their own against the stack, and reads pytest's report."""
    report = ROOT / ".build" / f"first-day-{os.getpid()}.xml"
    inherited = {name: value for name, value in os.environ.items() if name not in PERMISSIONS}
    environment = {**inherited, "AWS_SAM_STACK_NAME": stack, **allowed}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *which]
    try:
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False).returncode
        # Written by pytest on this machine a moment ago.
        cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314
    finally:
        report.unlink(missing_ok=True)
    properties = (prop for case in cases for prop in case.iter("property") if prop.get("name") == "learnt")
    learnt = [json.loads(prop.get("value", "{}")) for prop in properties]
    return TestRun(code, [(case.get("name", ""), _outcome(case)) for case in cases], learnt)


def _outcome(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "FAILED"
    skipped = case.find("skipped")
    return "passed" if skipped is None else f"skipped: {skipped.get('message')}"


def _tests(run: TestRun) -> Seen:
    """What was learnt; every test that did not pass by its name, the others by their number."""
    rows = [(row["what"], name, value) for row in run.learnt for name, value in row["saw"].items()]
    learnt = f"{table(('what was tried', 'what', 'AWS'), rows)}\n" if rows else ""
    counts = Counter(outcome.partition(":")[0] for _, outcome in run.outcomes)
    summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "no test ran"
    rest = [(name, outcome) for name, outcome in run.outcomes if outcome != "passed"]
    others = f"\n{table(('test', 'outcome'), rest)}" if rest else ""
    return f"{learnt}{summary}.\n{others}", run.code == 0


# --- what Lambda, KMS and CloudFormation say --------------------------------------------------------------


def timings(stack: DeployedStack) -> str:
    """Cold starts, restores, runs, and what did not succeed or was repeated."""
    lines = []
    for function in ("vend", "refresh"):
        reports = list(_reports(stack, function))
        measured = [report["metrics"] for report in reports]
        for what, name in (
            ("cold start", "initDurationMs"),
            ("restore from a snapshot", "restoreDurationMs"),
            ("run", "durationMs"),
        ):
            lines.append((function, what, *_spread([m[name] for m in measured if name in m])))
        attempts = Counter(report["requestId"] for report in reports)
        repeated = sum(count - 1 for count in attempts.values())
        failed = Counter(r["status"] for r in reports if r["status"] != "success")
        lines.append((function, "runs that Lambda repeated", repeated, "", "", ""))
        lines += [
            (function, f"runs that ended in {s}", count, "", "", "") for s, count in sorted(failed.items())
        ]
    return table(("function", "what", "count", "median ms", "p99 ms", "longest ms"), lines)


def _reports(stack: DeployedStack, function: str) -> Iterator[dict[str, Any]]:
    """https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-report"""
    pages = stack.client("logs").get_paginator("filter_log_events")
    for page in pages.paginate(
        logGroupName=f"/aws/lambda/{stack.name}/{function}",
        startTime=int((datetime.now(UTC) - LOOKS_BACK).timestamp() * 1000),
        filterPattern='{ $.type = "platform.report" }',
    ):
        for event in page["events"]:
            # The emulator does not look at the pattern.
            if '"platform.report"' in event["message"]:
                yield json.loads(event["message"])["record"]


def _spread(values: list[float]) -> tuple[object, ...]:
    if not values:
        return (0, "", "", "")
    p99 = statistics.quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]
    return (len(values), *(round(value, 1) for value in (statistics.median(values), p99, max(values))))


def keys(stack: DeployedStack) -> str:
    """Which key each secret is encrypted with, and whether AWS rotates it."""
    manager, kms = stack.client("secretsmanager"), stack.client("kms")
    lines = []
    for output in ("TokenSecretArn", "CredentialsSecretArn"):
        key = manager.describe_secret(SecretId=stack.outputs[output]).get("KmsKeyId")
        rotated: object = "AWS's own key"
        if key is not None:
            try:
                rotated = kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
            except ClientError as error:
                rotated = error.response["Error"]["Code"]
        lines.append((output.removesuffix("Arn"), key or "aws/secretsmanager", rotated))
    return table(("secret", "key", "rotated"), lines)


def look_for_drift(stack: DeployedStack) -> Seen:
    """What differs from the template by CloudFormation's own comparison, and whether nothing does."""
    formation = stack.client("cloudformation")
    detection = formation.detect_stack_drift(StackName=stack.name)["StackDriftDetectionId"]
    deadline = time.monotonic() + DRIFT_WITHIN_SECONDS
    while True:
        seen = formation.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
        if seen["DetectionStatus"] != "DETECTION_IN_PROGRESS" or time.monotonic() > deadline:
            break
        time.sleep(2)
    drifts = formation.describe_stack_resource_drifts(
        StackName=stack.name, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"], MaxResults=100
    )["StackResourceDrifts"]
    lines = [(drift["LogicalResourceId"], drift["StackResourceDriftStatus"]) for drift in drifts]
    status = f"{seen['DetectionStatus']}: {seen.get('StackDriftStatus', 'UNKNOWN')}"
    return f"{status}.\n" + (f"\n{table(('resource', 'drift'), lines)}" if lines else ""), not lines


if __name__ == "__main__":
    sys.exit(main())
