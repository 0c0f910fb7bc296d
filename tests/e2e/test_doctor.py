"""The doctor on the deployed stack: what is broken is found, and the command under the finding mends it."""

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.aws_cli import AwsCli
from tests.kit.stack import EmbeddedStack
from tests.kit.stack.embedded import ROOT

pytestmark = pytest.mark.timeout(240)
FOREIGN_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}],
}


class Doctor:
    """The program as an operator starts it."""

    def __init__(self, stack: EmbeddedStack, aws: AwsCli) -> None:
        self.stack = stack
        self._aws = aws
        self._environment = {
            **stack.ministack.environment,
            "PATH": f"{aws.folder}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'tools'}:{ROOT / 'layers' / 'token_vending'}",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "token_vending_ops", "doctor", *arguments],
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def findings(self) -> list[dict[str, str]]:
        finished = self.run("--stack", "token-vending", "--json")
        report: dict[str, Any] = json.loads(finished.stdout)
        assert finished.returncode == report["exit_code"], finished.stderr
        findings: list[dict[str, str]] = report["findings"]
        return findings

    def finding(self, saw: str) -> dict[str, str]:
        """The one that says this."""
        findings = self.findings()
        found = [finding for finding in findings if saw in finding["saw"]]
        assert len(found) == 1, findings
        return found[0]

    def mend(self, finding: dict[str, str]) -> None:
        subprocess.run(
            ["bash", "-euc", finding["mend"]],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )


@pytest.fixture(scope="module")
def doctor(minted: EmbeddedStack, aws: AwsCli) -> Doctor:
    return Doctor(minted, aws)


@contextlib.contextmanager
def put_back(stack: EmbeddedStack, output: str) -> Iterator[None]:
    """Afterwards the secret holds again what it held before."""
    secrets = stack.client("secretsmanager")
    content = secrets.get_secret_value(SecretId=stack.outputs[output])["SecretString"]
    try:
        yield
    finally:
        secrets.put_secret_value(SecretId=stack.outputs[output], SecretString=content)


def test_a_healthy_stack_has_no_finding_but_that_nobody_is_subscribed(doctor: Doctor) -> None:
    finished = doctor.run("--stack", "token-vending")
    rows = [
        line for line in finished.stdout.splitlines() if line.startswith(("WARNING", "CRITICAL", "UNKNOWN"))
    ]
    unexpected = [row for row in rows if "nobody is subscribed" not in row and "in ALARM" not in row]
    assert unexpected == [], finished.stdout
    assert "set and well-formed" in finished.stdout


def test_an_unknown_stack_is_told_apart_from_a_sick_one(doctor: Doctor) -> None:
    finished = doctor.run("--stack", "no-such-stack")
    assert finished.returncode == 3
    assert "There is no stack 'no-such-stack'" in finished.stderr


def test_no_secret_is_shown(doctor: Doctor) -> None:
    finished = doctor.run("--stack", "token-vending")
    shown = finished.stdout + finished.stderr
    assert [token for token in doctor.stack.personr.ever_minted if token in shown] == []


def test_credentials_that_cannot_be_used(doctor: Doctor) -> None:
    with put_back(doctor.stack, "CredentialsSecretArn"):
        doctor.stack.put_credentials(email="a:b@example.com")
        assert doctor.finding("holds a colon")["severity"] == "CRITICAL"


def test_a_token_secret_that_somebody_wrote_over(doctor: Doctor) -> None:
    stack = doctor.stack
    stack.client("secretsmanager").put_secret_value(
        SecretId=stack.outputs["TokenSecretArn"], SecretString="what is this?"
    )
    finding = doctor.finding("overwritten")
    assert finding["severity"] == "CRITICAL"
    doctor.mend(finding)
    assert doctor.finding("expires in 364 days")["severity"] == "OK"


def test_a_lock_that_a_dead_run_left(doctor: Doctor) -> None:
    stack = doctor.stack
    secrets = stack.client("secretsmanager")
    intent = {"intent": "run-dead", "started_at": "2026-01-01T00:00:00Z", "reason": "too_old"}
    version = str(uuid.uuid4())
    secret = stack.outputs["TokenSecretArn"]
    scheduler = stack.client("scheduler")
    with paused(stack):
        secrets.put_secret_value(
            SecretId=secret,
            SecretString=json.dumps(intent),
            ClientRequestToken=version,
            VersionStages=["INTENT"],
        )
        secrets.update_secret_version_stage(SecretId=secret, VersionStage="MINTING", MoveToVersionId=version)
        finding = doctor.finding("left by a run that died")
        assert finding["severity"] == "WARNING"
        doctor.mend(finding)
        assert doctor.finding("free")["check"] == "lock"
    assert scheduler.get_schedule(Name=schedule_name(stack))["State"] == "ENABLED"


def test_a_disabled_schedule(doctor: Doctor) -> None:
    stack = doctor.stack
    with paused(stack):
        finding = doctor.finding("disabled")
        assert finding["severity"] == "CRITICAL"
        doctor.mend(finding)
        schedule = stack.client("scheduler").get_schedule(Name=schedule_name(stack))
        assert schedule["State"] == "ENABLED"
        assert schedule["Target"]["Arn"].endswith(":live")


def test_a_secret_that_is_marked_for_deletion(doctor: Doctor) -> None:
    stack = doctor.stack
    stack.client("secretsmanager").delete_secret(
        SecretId=stack.outputs["TokenSecretArn"], RecoveryWindowInDays=7
    )
    finding = doctor.finding("marked for deletion")
    assert (finding["check"], finding["severity"]) == ("token", "CRITICAL")
    doctor.mend(finding)
    assert doctor.finding("expires in 364 days")["severity"] == "OK"


def test_a_url_that_is_open_to_everybody(doctor: Doctor) -> None:
    functions = doctor.stack.client("lambda")
    url = {"FunctionName": doctor.stack.outputs["VendFunctionName"], "Qualifier": "url"}
    functions.update_function_url_config(**url, AuthType="NONE")
    try:
        finding = doctor.finding("open to everybody")
        assert finding["severity"] == "CRITICAL"
        doctor.mend(finding)
        assert functions.get_function_url_config(**url)["AuthType"] == "AWS_IAM"
    finally:
        functions.update_function_url_config(**url, AuthType="AWS_IAM")


def test_a_grant_to_everybody(doctor: Doctor) -> None:
    functions = doctor.stack.client("lambda")
    alias = {"FunctionName": doctor.stack.outputs["VendFunctionName"], "Qualifier": "live"}
    functions.add_permission(**alias, StatementId="oops", Action="lambda:InvokeFunction", Principal="*")
    # The emulator shows the alias's statement in the function's own policy, too.
    finding = doctor.finding(f"everybody may lambda:InvokeFunction on {alias['FunctionName']}:live")
    assert (finding["check"], finding["severity"]) == ("grants", "CRITICAL")
    doctor.mend(finding)
    assert doctor.finding("nobody has more")["severity"] == "OK"


def test_a_destination_that_would_keep_the_token(doctor: Doctor) -> None:
    queue = doctor.stack.client("sqs").get_queue_attributes(
        QueueUrl=resource(doctor.stack, "RefreshFailureQueue"), AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    doctor.stack.client("lambda").put_function_event_invoke_config(
        FunctionName=doctor.stack.outputs["VendFunctionName"],
        Qualifier="live",
        DestinationConfig={"OnSuccess": {"Destination": queue}},
    )
    finding = doctor.finding("each with the token")
    assert (finding["check"], finding["severity"]) == ("grants", "CRITICAL")
    doctor.mend(finding)
    assert doctor.finding("nobody has more")["severity"] == "OK"


def test_a_policy_that_somebody_added_to_a_role(doctor: Doctor) -> None:
    stack = doctor.stack
    role = resource(stack, "VendRole")
    stack.client("iam").put_role_policy(
        RoleName=role, PolicyName="just-for-a-test", PolicyDocument=json.dumps(FOREIGN_POLICY)
    )
    finding = doctor.finding("just-for-a-test")
    assert finding["severity"] == "CRITICAL"
    doctor.mend(finding)
    assert [f for f in doctor.findings() if "just-for-a-test" in f["saw"]] == []


def test_a_setting_that_never_reached_the_aliases(doctor: Doctor) -> None:
    stack = doctor.stack
    functions = stack.client("lambda")
    name = stack.outputs["VendFunctionName"]
    environment = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    for seconds in ("61", environment["CACHE_SECONDS"]):
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**environment, "CACHE_SECONDS": seconds}}
        )
        finding = doctor.finding("VendFunction:live runs version")
        assert finding["severity"] == "WARNING"
        doctor.mend(finding)
        assert doctor.finding("VendFunction:live runs what")["severity"] == "OK"
        live = functions.get_function_configuration(FunctionName=name, Qualifier="live")
        assert live["Environment"]["Variables"]["CACHE_SECONDS"] == seconds
        # The emulator takes /aliases/url for the path of a Function URL, so this alias cannot be moved there.
        of_url = doctor.finding("VendFunction:url runs")
        if seconds == "61":
            assert of_url["severity"] == "WARNING"
            assert of_url["mend"] == finding["mend"].replace("--name live", "--name url")
        else:
            assert of_url["severity"] == "OK"


def test_a_message_that_was_put_aside(doctor: Doctor) -> None:
    queues = doctor.stack.client("sqs")
    url = resource(doctor.stack, "RefreshFailureQueue")
    queues.send_message(QueueUrl=url, MessageBody="{}")
    assert doctor.finding("1 in RefreshFailureQueue")["severity"] == "WARNING"
    queues.purge_queue(QueueUrl=url)


def test_an_alarm_names_its_section_of_the_operations_page(doctor: Doctor) -> None:
    doctor.stack.client("cloudwatch").set_alarm_state(
        AlarmName="token-vending-foreign-minter", StateValue="ALARM", StateReason="a test"
    )
    finding = doctor.finding("token-vending-foreign-minter is in ALARM")
    assert finding["severity"] == "CRITICAL"
    assert finding["saw"].endswith("docs/operations.md#foreign-minter")
    doctor.stack.client("cloudwatch").set_alarm_state(
        AlarmName="token-vending-foreign-minter", StateValue="OK", StateReason="a test"
    )


def resource(stack: EmbeddedStack, name: str) -> str:
    detail = stack.client("cloudformation").describe_stack_resource(
        StackName="token-vending", LogicalResourceId=name
    )
    physical: str = detail["StackResourceDetail"]["PhysicalResourceId"]
    return physical


def schedule_name(stack: EmbeddedStack) -> str:
    return resource(stack, "Schedule")


@contextlib.contextmanager
def paused(stack: EmbeddedStack) -> Iterator[None]:
    """The schedule is disabled inside the block."""
    scheduler = stack.client("scheduler")
    schedule = scheduler.get_schedule(Name=schedule_name(stack))
    wanted = {name: schedule[name] for name in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
    scheduler.update_schedule(**wanted, State="DISABLED")
    try:
        yield
    finally:
        scheduler.update_schedule(**wanted, State="ENABLED")
