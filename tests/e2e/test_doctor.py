"""The doctor on the deployed stack: what is broken is found, and the command under the finding mends it."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.aws_cli import AwsCli
from tests.kit.stack import EmbeddedStack
from tests.kit.stack.embedded import ROOT
from token_vending_ops.deployed import DeployedStack
from token_vending_ops.doctor import examine
from token_vending_ops.findings import Finding

pytestmark = pytest.mark.timeout(240)


class Doctor:
    """The doctor in this process, where its second of start-up is paid once; `run` starts it as an operator does."""

    def __init__(self, stack: EmbeddedStack, aws: AwsCli) -> None:
        self.stack = stack
        self._session = stack.root_session()
        self._environment = {
            **stack.ministack.environment,
            "PATH": f"{aws.folder}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'tools'}:{ROOT / 'layers' / 'token_vending'}",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "token_vending_ops", "doctor", *arguments]
        return subprocess.run(
            command, env=self._environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

    def findings(self) -> list[Finding]:
        return examine(DeployedStack("token-vending", self._session))

    def finding(self, saw: str) -> Finding:
        """The one that says this."""
        findings = self.findings()
        found = [finding for finding in findings if saw in finding.saw]
        assert len(found) == 1, findings
        return found[0]

    def mend(self, finding: Finding) -> None:
        command = ["bash", "-euc", finding.mend]
        subprocess.run(
            command, cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, check=True, timeout=60
        )


@pytest.fixture(scope="module")
def doctor(minted: EmbeddedStack, aws: AwsCli) -> Iterator[Doctor]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", minted.ministack.url)
        yield Doctor(minted, aws)


def set_schedule(stack: EmbeddedStack, state: str) -> None:
    scheduler = stack.client("scheduler")
    schedule = scheduler.get_schedule(Name=stack.resource("Schedule"))
    kept = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    scheduler.update_schedule(**{name: schedule[name] for name in kept}, State=state)


def overwrite_the_token(stack: EmbeddedStack) -> None:
    secret = stack.outputs["TokenSecretArn"]
    stack.client("secretsmanager").put_secret_value(SecretId=secret, SecretString="what is this?")


def delete_the_token_secret(stack: EmbeddedStack) -> None:
    secret = stack.outputs["TokenSecretArn"]
    stack.client("secretsmanager").delete_secret(SecretId=secret, RecoveryWindowInDays=7)


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


def test_a_healthy_stack_has_no_finding_but_that_nobody_is_subscribed_and_no_token_is_shown(
    doctor: Doctor,
) -> None:
    finished = doctor.run("--stack", "token-vending")
    rows = [
        line for line in finished.stdout.splitlines() if line.startswith(("WARNING", "CRITICAL", "UNKNOWN"))
    ]
    unexpected = [row for row in rows if "nobody is subscribed" not in row and "in ALARM" not in row]
    assert unexpected == [], finished.stdout
    assert "set and well-formed" in finished.stdout
    shown = finished.stdout + finished.stderr
    assert [token for token in doctor.stack.personr.ever_minted if token in shown] == []


def test_an_unknown_stack_is_told_apart_from_a_sick_one(doctor: Doctor) -> None:
    finished = doctor.run("--stack", "no-such-stack")
    assert finished.returncode == 3
    assert "There is no stack 'no-such-stack'" in finished.stderr


def test_credentials_that_cannot_be_used_are_found(doctor: Doctor) -> None:
    secrets, secret = doctor.stack.client("secretsmanager"), doctor.stack.outputs["CredentialsSecretArn"]
    before = secrets.get_secret_value(SecretId=secret)["SecretString"]
    doctor.stack.put_credentials(email="a:b@example.com")
    try:
        assert doctor.finding("holds a colon").severity.name == "CRITICAL"
    finally:
        secrets.put_secret_value(SecretId=secret, SecretString=before)


@pytest.mark.parametrize(
    ("harm", "check", "says"),
    [
        (overwrite_the_token, "token", "overwritten"),
        (delete_the_token_secret, "token", "marked for deletion"),
        (lambda stack: set_schedule(stack, "DISABLED"), "schedule", "disabled"),
        (open_the_url, "permissions", "open to everybody"),
        # The emulator shows the alias's statement in the function's own policy, too.
        (grant_to_everybody, "grants", "everybody may lambda:InvokeFunction on {vend}:live"),
        (keep_the_answers, "grants", "each with the token"),
        (add_a_policy, "roles", "just-for-a-test"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_harms_callers_is_found_and_mended_by_the_command_under_the_finding(
    doctor: Doctor, harm: Callable[[EmbeddedStack], None], check: str, says: str
) -> None:
    harm(doctor.stack)
    finding = doctor.finding(says.format(vend=doctor.stack.outputs["VendFunctionName"]))
    assert (finding.check, finding.severity.name) == (check, "CRITICAL")
    doctor.mend(finding)
    assert {found.severity.name for found in doctor.findings() if found.check == check} == {"OK"}


def test_a_lock_that_a_dead_run_left_is_taken_over_by_the_command_under_the_finding(doctor: Doctor) -> None:
    stack = doctor.stack
    secrets, secret = stack.client("secretsmanager"), stack.outputs["TokenSecretArn"]
    intent = {"intent": "run-dead", "started_at": "2026-01-01T00:00:00Z", "reason": "too_old"}
    version = str(uuid.uuid4())
    set_schedule(stack, "DISABLED")
    try:
        secrets.put_secret_value(
            SecretId=secret,
            SecretString=json.dumps(intent),
            ClientRequestToken=version,
            VersionStages=["INTENT"],
        )
        secrets.update_secret_version_stage(SecretId=secret, VersionStage="MINTING", MoveToVersionId=version)
        finding = doctor.finding("left by a run that died")
        assert finding.severity.name == "WARNING"
        doctor.mend(finding)
        assert doctor.finding("free").check == "lock"
    finally:
        set_schedule(stack, "ENABLED")


def test_a_setting_that_never_reached_the_aliases_is_found_and_published(doctor: Doctor) -> None:
    stack = doctor.stack
    functions = stack.client("lambda")
    name = stack.outputs["VendFunctionName"]
    environment = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    for seconds in ("61", environment["CACHE_SECONDS"]):
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**environment, "CACHE_SECONDS": seconds}}
        )
        finding = doctor.finding("VendFunction:live runs version")
        assert finding.severity.name == "WARNING"
        doctor.mend(finding)
        assert doctor.finding("VendFunction:live runs what").severity.name == "OK"
        live = functions.get_function_configuration(FunctionName=name, Qualifier="live")
        assert live["Environment"]["Variables"]["CACHE_SECONDS"] == seconds
        # The emulator takes /aliases/url for the path of a Function URL, so this alias cannot be moved there.
        of_url = doctor.finding("VendFunction:url runs")
        if seconds == "61":
            assert of_url.severity.name == "WARNING"
            assert of_url.mend == finding.mend.replace("--name live", "--name url")
        else:
            assert of_url.severity.name == "OK"


def test_a_message_that_was_put_aside_is_found(doctor: Doctor) -> None:
    queues = doctor.stack.client("sqs")
    url = doctor.stack.resource("RefreshFailureQueue")
    queues.send_message(QueueUrl=url, MessageBody="{}")
    assert doctor.finding("1 in RefreshFailureQueue").severity.name == "WARNING"
    queues.purge_queue(QueueUrl=url)


def test_an_alarm_names_its_section_of_the_operations_page_and_sets_the_exit_code(doctor: Doctor) -> None:
    set_state = doctor.stack.client("cloudwatch").set_alarm_state
    alarm = "token-vending-foreign-minter"
    set_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    finished = doctor.run("--stack", "token-vending", "--json")
    set_state(AlarmName=alarm, StateValue="OK", StateReason="a test")
    report = json.loads(finished.stdout)
    (finding,) = [found for found in report["findings"] if found["saw"].startswith(alarm)]
    assert (finding["severity"], finished.returncode, report["exit_code"]) == ("CRITICAL", 2, 2)
    assert finding["saw"] == f"{alarm} is in ALARM: docs/operations.md#foreign-minter"
