"""The emulated AWS account: clients for it, IAM users, stacks, and what its logs and queues hold."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.kit.stack.ministack import ACCOUNT_ID, REGION, MiniStack

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

ROOT = Path(__file__).resolve().parents[3]
BUCKET = "artifacts"
STACK_NAME = "token-vending"
DEPLOYED_WITHIN_SECONDS = 300.0
POLL_SECONDS = 0.2


class StackError(Exception):
    """The stack did not come up, or did not do something in time. The message says what was seen."""


@dataclass(frozen=True)
class User:
    name: str
    arn: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    @property
    def session(self) -> boto3.Session:
        return _session(self.access_key_id, self.secret_access_key)


@dataclass(frozen=True)
class Reply:
    payload: Any
    function_error: str | None


class EmulatedAws:
    """An account in MiniStack, whose root this process is."""

    def __init__(self) -> None:
        self.ministack = MiniStack()
        self.outputs: dict[str, str] = {}
        """Those of the stack named STACK_NAME."""
        self._user_count = 0

    def client(self, service: Any, session: boto3.Session | None = None) -> Any:
        """A boto3 client that speaks to the emulator; without a session, root's."""
        return (session or self.root_session()).client(
            service,
            endpoint_url=self.ministack.url,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=70),
        )

    def root_session(self) -> boto3.Session:
        return _session("test", "test")

    def create_user(self, *outputs: str, name: str = "caller") -> User:
        """A new IAM user that has the managed policies of these outputs and nothing else."""
        iam: IAMClient = self.client("iam")
        self._user_count += 1
        name = f"{name}-{self._user_count}"
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        for output in outputs:
            iam.attach_user_policy(UserName=name, PolicyArn=self.outputs[output])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return User(name, arn, key["AccessKeyId"], key["SecretAccessKey"])

    def resource(self, logical_id: str, stack: str = STACK_NAME) -> str:
        found = self.client("cloudformation").describe_stack_resource(
            StackName=stack, LogicalResourceId=logical_id
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def deploy_beside(self, name: str, template: str, parameters: Mapping[str, str]) -> dict[str, str]:
        command = [str(ROOT / ".build" / "sam" / "bin" / "sam"), "deploy", "--template-file", template]
        command += ["--stack-name", name, "--s3-bucket", BUCKET, "--region", REGION]
        command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"]
        command += ["--config-env", "embedded", "--parameter-overrides"]
        command += [f"{key}={json.dumps(value)}" for key, value in parameters.items()]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.ministack.folder),
            "TMPDIR": str(self.ministack.folder),
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.5",
            **self.ministack.environment,
        }
        finished = subprocess.run(
            command,
            cwd=self.ministack.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEPLOYED_WITHIN_SECONDS,
            process_group=self.ministack.group,
            check=False,
        )
        if finished.returncode:
            raise StackError(f"sam deploy failed ({finished.returncode}):\n{finished.stdout}")
        stack = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def invoke(self, name: str, payload: Mapping[str, Any], session: boto3.Session | None) -> Reply:
        answer = self.client("lambda", session).invoke(FunctionName=name, Payload=json.dumps(payload))
        return Reply(json.loads(answer["Payload"].read() or b"null"), answer.get("FunctionError"))

    def listed(self, output: str) -> list[dict[str, Any]]:
        """The versions of the secret that an output names, the deprecated ones too."""
        found: list[dict[str, Any]] = self.client("secretsmanager").list_secret_version_ids(
            SecretId=self.outputs[output], IncludeDeprecated=True
        )["Versions"]
        return found

    def ever_held(self, output: str) -> list[tuple[dict[str, Any], str]]:
        manager, secret, listed = self.client("secretsmanager"), self.outputs[output], self.listed(output)
        values = (manager.get_secret_value(SecretId=secret, VersionId=v["VersionId"]) for v in listed)
        return [
            (version, value.get("SecretString", "")) for version, value in zip(listed, values, strict=True)
        ]

    def log_lines(self, function: str) -> list[str]:
        """The log of "refresh" or "vend", oldest line first."""
        logs = self.client("logs")
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{STACK_NAME}/{function}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        events.sort(key=lambda event: event["timestamp"])
        return [line for event in events for line in event["message"].splitlines() if line.strip()]

    def wait_for[T](self, what: str, look: Callable[[], T | None], within_seconds: float) -> T:
        """The first answer of `look` that is true.

        Raises:
            StackError: there was none in time; the message ends with the functions' last log lines.
        """
        deadline = time.monotonic() + within_seconds
        while not (seen := look()):
            if time.monotonic() > deadline:
                tail = "\n".join(self.log_lines("refresh")[-15:] + self.log_lines("vend")[-15:])
                raise StackError(f"not within {within_seconds:.0f} s: {what}\n{tail}")
            time.sleep(POLL_SECONDS)
        return seen

    def places(self) -> Iterator[tuple[str, str]]:
        """Every place that could tell a secret, and what it holds; reads the queues empty."""
        logs = self.client("logs")
        for page in logs.get_paginator("describe_log_groups").paginate():
            for group in page["logGroups"]:
                pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
                lines = (event["message"] for page in pages for event in page["events"])
                yield f"the log group {group['logGroupName']}", "\n".join(lines)
        for url in self.client("sqs").list_queues().get("QueueUrls", ()):
            yield f"the queue {url.rpartition('/')[2]}", "\n".join(self._messages(url))
        functions = self.client("lambda").list_functions()["Functions"]
        yield "the functions' configuration", json.dumps(functions, default=str, ensure_ascii=False)
        yield "the emulator's own log", self.ministack.server_log()

    def _messages(self, queue: str) -> Iterator[str]:
        client = self.client("sqs")
        while messages := client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                yield message["Body"]
                client.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def _session(access_key_id: str, secret_access_key: str) -> boto3.Session:
    return boto3.Session(access_key_id, secret_access_key, region_name=REGION, aws_account_id=ACCOUNT_ID)


def empty_secrets(manager: Any) -> None:
    """CloudFormation creates a secret without a value without a version; MiniStack gives it an empty one."""
    for secret in manager.list_secrets()["SecretList"]:
        for version in manager.list_secret_version_ids(SecretId=secret["ARN"])["Versions"]:
            manager.update_secret_version_stage(
                SecretId=secret["ARN"], VersionStage="AWSCURRENT", RemoveFromVersionId=version["VersionId"]
            )


def deployable(template: dict[str, Any], artifacts: Path) -> dict[str, Any]:
    """The SAM template with its code at the built artefacts, wherever it is written to."""
    for name, resource in template["Resources"].items():
        for uri in resource.get("Properties", {}).keys() & {"CodeUri", "ContentUri"}:
            resource["Properties"][uri] = str(artifacts / name)
    # What the Serverless Application Repository wants names files beside the template.
    template.pop("Metadata", None)
    return template


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM unwind the stack, as Ctrl-C does, so that what was started is ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
