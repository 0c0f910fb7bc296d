"""The doctor on the deployed stack: what is broken is found, and the command under the finding mends it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD
from tests.kit.stack import EmbeddedStack
from tests.kit.stack.embedded import ROOT

ALARM = "token-vending-foreign-minter"
pytestmark = pytest.mark.timeout(240)


class Doctor:
    """The doctor, and the commands it gives, as an operator runs them."""

    def __init__(self, stack: EmbeddedStack, aws: Path) -> None:
        self.stack = stack
        self._environment = {
            **stack.ministack.environment,
            "PATH": f"{aws}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'tools'}:{ROOT / 'layers' / 'token_vending'}",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "token_vending_ops", "doctor", *arguments]
        return subprocess.run(
            command, env=self._environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

    def mend(self, command: str) -> None:
        subprocess.run(
            ["bash", "-euc", command], cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, check=True
        )


@pytest.fixture(scope="module")
def doctor(minted: EmbeddedStack, aws: Path) -> Doctor:
    return Doctor(minted, aws)


def set_schedule(stack: EmbeddedStack, state: str) -> None:
    scheduler = stack.client("scheduler")
    schedule = scheduler.get_schedule(Name=stack.resource("Schedule"))
    kept = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    scheduler.update_schedule(**{name: schedule[name] for name in kept}, State=state)


def open_the_url(stack: EmbeddedStack) -> None:
    url = {"FunctionName": stack.outputs["VendFunctionName"], "Qualifier": "url"}
    stack.client("lambda").update_function_url_config(**url, AuthType="NONE")


def grant_to_everybody(stack: EmbeddedStack) -> None:
    alias = {"FunctionName": stack.outputs["VendFunctionName"], "Qualifier": "live"}
    grant = {"StatementId": "oops", "Action": "lambda:InvokeFunction", "Principal": "*"}
    stack.client("lambda").add_permission(**alias, **grant)


def keep_the_answers(stack: EmbeddedStack) -> None:
    queue = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.resource("RefreshFailureQueue"), AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    stack.client("lambda").put_function_event_invoke_config(
        FunctionName=stack.outputs["VendFunctionName"],
        Qualifier="live",
        DestinationConfig={"OnSuccess": {"Destination": queue}},
    )


def add_a_policy(stack: EmbeddedStack) -> None:
    statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    stack.client("iam").put_role_policy(
        RoleName=stack.resource("VendRole"),
        PolicyName="just-for-a-test",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def set_variables(stack: EmbeddedStack, added: dict[str, str]) -> None:
    """Of the function, so that its alias differs. It does not read the one that is added."""
    functions, name = stack.client("lambda"), stack.outputs["RefreshFunctionName"]
    live = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables = {key: value for key, value in live.items() if key != "ADDED_BY_HAND"} | added
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def harm_everything(stack: EmbeddedStack) -> None:
    """What the table below says. No tick comes in between: the schedule is disabled first."""
    set_schedule(stack, "DISABLED")
    secrets, secret = stack.client("secretsmanager"), stack.outputs["TokenSecretArn"]
    intent = {"intent": "run-dead", "started_at": "2026-01-01T00:00:00Z", "reason": "too_old"}
    left = secrets.put_secret_value(
        SecretId=secret, SecretString=json.dumps(intent), VersionStages=["INTENT"]
    )
    secrets.update_secret_version_stage(
        SecretId=secret, VersionStage="MINTING", MoveToVersionId=left["VersionId"]
    )
    secrets.put_secret_value(SecretId=secret, SecretString="what is this?")
    stack.put_credentials(email="a:b@example.com")
    open_the_url(stack)
    grant_to_everybody(stack)
    keep_the_answers(stack)
    add_a_policy(stack)
    set_variables(stack, {"ADDED_BY_HAND": "1"})
    stack.client("sqs").send_message(QueueUrl=stack.resource("RefreshFailureQueue"), MessageBody="{}")
    stack.client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="a test")


HARM = [
    ("CRITICAL", "credentials", "holds a colon"),
    ("CRITICAL", "token", "overwritten"),
    ("WARNING", "lock", "left by a run that died"),
    ("CRITICAL", "schedule", "disabled"),
    ("CRITICAL", "permissions", "open to everybody"),
    # The emulator shows the alias's statement in the function's own policy, too.
    ("CRITICAL", "grants", "everybody may lambda:InvokeFunction on {vend}:live"),
    ("CRITICAL", "grants", "each with the token"),
    ("CRITICAL", "roles", "just-for-a-test"),
    ("WARNING", "live version", "RefreshFunction:live runs version"),
    ("WARNING", "dead letters", "1 in RefreshFailureQueue"),
    ("CRITICAL", "alarms", f"{ALARM} is in ALARM: docs/operations.md#foreign-minter"),
]


def test_what_is_broken_is_found_and_the_command_under_each_finding_makes_the_stack_healthy(
    doctor: Doctor, tmp_path: Path
) -> None:
    stack = doctor.stack
    harm_everything(stack)
    finished = doctor.run("--stack", "token-vending", "--json")
    report = json.loads(finished.stdout)
    assert (finished.returncode, report["exit_code"]) == (2, 2)
    # Not the file of that name which an operator may have in the repository's folder.
    credentials = tmp_path / "credentials.json"
    credentials.write_text(json.dumps({"email": DEFAULT_EMAIL, "password": DEFAULT_PASSWORD}))
    for severity, check, says in HARM:
        saw = says.format(vend=stack.outputs["VendFunctionName"])
        (finding,) = [found for found in report["findings"] if saw in found["saw"]]
        assert (finding["severity"], finding["check"]) == (severity, check)
        command = finding["mend"].replace("file://credentials.json", f"file://{credentials}")
        doctor.mend(command)
        if check == "live version":
            # Published; else CloudFormation finds drift from now on.
            set_variables(stack, {})
            doctor.mend(command)
    stack.client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="OK", StateReason="a test")
    stack.client("sqs").purge_queue(QueueUrl=stack.resource("RefreshFailureQueue"))

    finished = doctor.run("--stack", "token-vending")
    found = re.findall("^(?:WARNING|CRITICAL|UNKNOWN).*", finished.stdout, re.MULTILINE)
    unexpected = [row for row in found if "nobody is subscribed" not in row and "in ALARM" not in row]
    assert unexpected == [], finished.stdout
    assert "set and well-formed" in finished.stdout
    shown = finished.stdout + finished.stderr + json.dumps(report)
    assert [token for token in stack.personr.ever_minted if token in shown] == []


def test_an_unknown_stack_is_told_apart_from_a_sick_one(doctor: Doctor) -> None:
    finished = doctor.run("--stack", "no-such-stack")
    assert finished.returncode == 3
    assert "There is no stack 'no-such-stack'" in finished.stderr
