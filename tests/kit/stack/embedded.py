"""The embedded stack: `sam build`, `sam deploy` onto MiniStack, Personr's stand-in, and clients for them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials

from scripts import build
from scripts import template as cloudformation
from tests.kit.personr import WHOAMI_PATH, PersonrServer
from tests.kit.stack.ministack import ACCOUNT_ID, REGION, MiniStack
from tests.secret_texts import secret_texts

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

ROOT = Path(__file__).resolve().parents[3]
CALLER = Path(__file__).with_name("caller.py")
STACK_NAME = "token-vending"
BUCKET = "artifacts"
DEPLOYED_WITHIN_SECONDS = 300.0
POLL_SECONDS = 0.2
PARAMETERS = {
    # The shortest rate there is.
    "ScheduleExpression": "rate(1 minute)",
    # MiniStack refuses a stack with a composite alarm.
    "CompositeAlarm": "false",
    # A token that somebody kills right after it was minted is replaced at the first report.
    "MinAgeSeconds": "0",
    "CacheSeconds": "60",
    # Of two users that IAM lets through to the URL, one is not listed.
    "AllowedCallers": f"arn:aws:iam::{ACCOUNT_ID}:user/caller-*",
}


class StackError(Exception):
    """The stack did not come up, or did not do something in time. The message says what was seen."""


@dataclass(frozen=True)
class Reply:
    """What a direct invocation came back with."""

    payload: Any
    function_error: str | None


@dataclass(frozen=True)
class User:
    """An IAM user with an access key."""

    name: str
    arn: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    @property
    def session(self) -> boto3.Session:
        """A session with this user's key."""
        return _session(self.access_key_id, self.secret_access_key)


class Caller:
    """A process that holds nothing but an IAM user's keys and the vend function's name."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, command: str) -> dict[str, Any]:
        """The answer to one of caller.py's commands (see there)."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise StackError("the caller has no pipes")
        stdin.write(f"{command}\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise StackError(f"the caller ended ({self._process.poll()})")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(frozen=True)
class Version:
    """One version of the token secret, as its history shows it."""

    version_id: str
    labels: tuple[str, ...]
    created: datetime
    kind: str
    """token, intent, or empty."""
    alive: bool
    """Whether the vendor takes the token."""


class EmbeddedStack:
    """The deployed template, from `with` to the end of its block.

    Args:
        parameters: of the template, over those that the emulator needs.
        with_credentials: put the stand-in's credentials into the credentials secret after deploying.
        tell: called with a word on every step and the seconds it took.
        issuer: the stand-in of another issuer than Personr.

    When the block ends, by an exception, Ctrl-C, SIGTERM or SIGKILL too, every process is ended and every
    file is gone. A block that ends well fails with a StackError if a secret is found in a log or a queue.
    """

    def __init__(
        self,
        parameters: Mapping[str, str] | None = None,
        *,
        with_credentials: bool = True,
        tell: Callable[[str, float], None] | None = None,
        issuer: PersonrServer | None = None,
    ) -> None:
        self.personr = issuer or PersonrServer()
        self.ministack = MiniStack()
        self.outputs: dict[str, str] = {}
        self._parameters = dict(parameters or {})
        self._with_credentials = with_credentials
        self._tell = tell or (lambda _step, _seconds: None)
        self._closing = contextlib.ExitStack()
        self._user_count = 0
        self._template = ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            opening.enter_context(sigterm_raises())
            opening.enter_context(self.personr)
            with self._step("build the template (sam build)"):
                artifacts = build.build()
            with self._step("start the AWS emulator (MiniStack)"):
                opening.enter_context(self.ministack)
                self.client("s3").create_bucket(Bucket=BUCKET)
            template = deployable(cloudformation.source(artifacts / "template.yaml"), artifacts)
            # They refuse plain HTTP, and MiniStack speaks nothing else (tests/e2e/test_an_upgrade.py has them).
            resources = {
                n: r for n, r in template["Resources"].items() if r["Type"] != "AWS::SQS::QueuePolicy"
            }
            self._template = str(self.ministack.folder / "template.json")
            Path(self._template).write_text(
                json.dumps({**template, "Resources": resources}), encoding="utf-8"
            )
            with self._step("deploy the template (sam deploy)"):
                self.deploy()
            empty_secrets(self.client("secretsmanager"))
            if self._with_credentials:
                self.put_credentials()
            self._closing = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._closing:
            if kind is None and (leaks := self.leaks()):
                raise StackError(f"a secret is in {', '.join(leaks)}")

    # --- AWS as it is seen here --------------------------------------------------------------------------

    def client(self, service: Any, session: boto3.Session | None = None) -> Any:
        """A boto3 client that speaks to the emulator; without a session, root's."""
        return (session or self.root_session()).client(
            service,
            endpoint_url=self.ministack.url,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=70),
        )

    def root_session(self) -> boto3.Session:
        """Root of the emulated account."""
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

    def put_credentials(self, **fields: str) -> None:
        """Put the service account's credentials where an operator puts them."""
        self.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["CredentialsSecretArn"],
            SecretString=json.dumps({**self.personr.secret_value, **fields}),
        )

    # --- what must not be seen ---------------------------------------------------------------------------

    def leaks(self) -> list[str]:
        """The places in which a password, a Basic value or a token is found; reads the queues empty."""
        secrets = self._secrets()
        return [place for place, text in self._places() if any(secret in text for secret in secrets)]

    def _secrets(self) -> list[str]:
        held = {output: self._ever_held(output) for output in ("CredentialsSecretArn", "TokenSecretArn")}
        default = json.dumps(self.personr.secret_value)
        credentials = [default, *held["CredentialsSecretArn"]]
        return secret_texts(credentials, held["TokenSecretArn"], self.personr.ever_minted)

    def _ever_held(self, output: str) -> list[str]:
        manager, secret = self.client("secretsmanager"), self.outputs[output]
        listed = manager.list_secret_version_ids(SecretId=secret, IncludeDeprecated=True)["Versions"]
        values = (manager.get_secret_value(SecretId=secret, VersionId=v["VersionId"]) for v in listed)
        return [value.get("SecretString", "") for value in values]

    def _places(self) -> Iterator[tuple[str, str]]:
        logs = self.client("logs")
        for page in logs.get_paginator("describe_log_groups").paginate():
            for group in page["logGroups"]:
                pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
                lines = (event["message"] for page in pages for event in page["events"])
                yield f"the log group {group['logGroupName']}", "\n".join(lines)
        queues = self.client("sqs")
        for url in queues.list_queues().get("QueueUrls", ()):
            messages = list(self._messages(url))
            yield f"the queue {url.rpartition('/')[2]}", "\n".join(messages)
        functions = self.client("lambda").list_functions()["Functions"]
        yield "the functions' configuration", json.dumps(functions, default=str, ensure_ascii=False)
        yield "the emulator's own log", self.ministack.server_log()

    def _messages(self, queue: str) -> Iterator[str]:
        client = self.client("sqs")
        while messages := client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                yield message["Body"]
                client.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    # --- the product -------------------------------------------------------------------------------------

    def vend(self, request: Mapping[str, Any] | None = None, session: boto3.Session | None = None) -> Reply:
        """Ask the vend function directly, through its alias."""
        return self._invoke(self.outputs["VendFunctionArn"], request or {}, session)

    def refresh(self, event: Mapping[str, Any]) -> Reply:
        """Run the refresh function now, through its alias, and wait for it."""
        return self._invoke(f"{self.outputs['RefreshFunctionName']}:live", event, None)

    def current_version(self) -> str | None:
        """The id of the token secret's current version."""
        versions = self.client("secretsmanager").list_secret_version_ids(
            SecretId=self.outputs["TokenSecretArn"], IncludeDeprecated=True
        )["Versions"]
        return next((v["VersionId"] for v in versions if "AWSCURRENT" in v.get("VersionStages", ())), None)

    def versions(self) -> list[Version]:
        """The token secret's history, oldest first."""
        manager = self.client("secretsmanager")
        listed = manager.list_secret_version_ids(
            SecretId=self.outputs["TokenSecretArn"], IncludeDeprecated=True
        )["Versions"]
        versions = []
        for entry in listed:
            text = manager.get_secret_value(
                SecretId=self.outputs["TokenSecretArn"], VersionId=entry["VersionId"]
            ).get("SecretString")
            held = json.loads(text) if text else {}
            token = held.get("access_token")
            kind = "token" if token else "intent" if "intent" in held else "empty"
            labels = tuple(sorted(entry.get("VersionStages", ())))
            alive = self.personr.is_live(token)
            versions.append(Version(entry["VersionId"], labels, entry["CreatedDate"], kind, alive))
        return sorted(versions, key=lambda version: (version.created, version.kind == "token"))

    @contextlib.contextmanager
    def caller(self, user: User, *, over_http: bool = False) -> Iterator[Caller]:
        """A caller in a process of its own, with this user's keys."""
        function = {"PERSONR_TOKEN_FUNCTION": self.outputs["VendFunctionArn"]}
        environment = {
            **self.ministack.environment,
            "AWS_ACCESS_KEY_ID": user.access_key_id,
            "AWS_SECRET_ACCESS_KEY": user.secret_access_key,
            **({"PERSONR_TOKEN_URL": self._url_here()} if over_http else function),
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(ROOT / "layers" / "token_client"),
        }
        process = subprocess.Popen(
            [sys.executable, str(CALLER), f"{self.personr.url}{WHOAMI_PATH}"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=self.ministack.group,
        )
        try:
            yield Caller(process)
        finally:
            process.kill()
            process.communicate()

    def _url_here(self) -> str:
        """The function's URL at the emulator's own address: its name leads nowhere."""
        url_id = urlsplit(self.outputs["VendUrl"]).netloc.partition(".")[0]
        return f"{self.ministack.url}/_aws/lambda-url/{url_id}"

    def resource(self, logical_id: str, stack: str = STACK_NAME) -> str:
        """The physical name of what a stack has made."""
        found = self.client("cloudformation").describe_stack_resource(
            StackName=stack, LogicalResourceId=logical_id
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def http(self, method: str, path: str, user: User | None = None) -> tuple[int, bytes]:
        """Status and body of a request to the function's URL, signed by this user or not at all."""
        url = self.outputs["VendUrl"].rstrip("/") + path
        request = AWSRequest(method, url, headers={"Host": urlsplit(url).netloc})
        if user is not None:
            keys = ReadOnlyCredentials(user.access_key_id, user.secret_access_key, None)
            SigV4Auth(keys, "lambda", REGION).add_auth(request)
        answer = urllib3.request(
            method,
            self.ministack.url + path,
            headers=dict(request.headers.items()),
            timeout=30,
            retries=False,
        )
        return answer.status, answer.data

    def wait_for[T](self, what: str, look: Callable[[], T | None], within_seconds: float) -> T:
        """The first answer of `look` that is true.

        Raises:
            StackError: there was none in time; the message ends with the functions' last log lines.
        """
        deadline = time.monotonic() + within_seconds
        while True:
            seen = look()
            if seen:
                return seen
            if time.monotonic() > deadline:
                tail = "\n".join(self.log_lines("refresh")[-15:] + self.log_lines("vend")[-15:])
                raise StackError(f"not within {within_seconds:.0f} s: {what}\n{tail}")
            time.sleep(POLL_SECONDS)

    def log_lines(self, function: str) -> list[str]:
        """The log of "refresh" or "vend", oldest line first."""
        logs = self.client("logs")
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{STACK_NAME}/{function}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        events.sort(key=lambda event: event["timestamp"])
        return [line for event in events for line in event["message"].splitlines() if line.strip()]

    def deploy(self, parameters: Mapping[str, str] | None = None) -> None:
        """Deploy the built template, again if you like, with these parameters over the stack's own."""
        given = {**PARAMETERS, **self.personr.parameters, **self._parameters}
        self.outputs = self.deploy_beside(STACK_NAME, self._template, given | dict(parameters or {}))

    def deploy_beside(self, name: str, template: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Deploy any template as a stack of its own; returns its outputs."""
        command = [str(ROOT / ".build" / "sam" / "bin" / "sam"), "deploy", "--template-file", template]
        command += ["--stack-name", name, "--s3-bucket", BUCKET, "--region", REGION]
        command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"]
        command += ["--config-env", "embedded"]
        command += [
            "--parameter-overrides",
            *(f"{key}={json.dumps(value)}" for key, value in parameters.items()),
        ]
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

    def _invoke(self, name: str, payload: Mapping[str, Any], session: boto3.Session | None) -> Reply:
        answer = self.client("lambda", session).invoke(FunctionName=name, Payload=json.dumps(payload))
        return Reply(json.loads(answer["Payload"].read() or b"null"), answer.get("FunctionError"))

    @contextlib.contextmanager
    def _step(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._tell(what, time.monotonic() - started)


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
