"""The embedded stack: `sam build`, `sam deploy` onto MiniStack, Personr's stand-in, and clients for them."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

import bootstrap
import build
from tests.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD, PersonrServer
from tests.stack.ministack import ACCOUNT_ID, REGION, MiniStack

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

STACK_NAME = "token-vending"
BUCKET = "artifacts"
DEPLOYED_WITHIN_SECONDS = 120.0
POLL_SECONDS = 0.2
PARAMETERS = {
    # The shortest rate there is.
    "ScheduleExpression": "rate(1 minute)",
    # MiniStack refuses a stack with a composite alarm.
    "CompositeAlarm": "false",
    # A token that somebody kills right after it was minted is replaced at the first report.
    "MinAgeSeconds": "0",
    "CacheSeconds": "60",
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
    session: boto3.Session


class EmbeddedStack:
    """The deployed template, from `with` to the end of its block.

    Args:
        parameters: of the template, over those that the emulator needs.
        with_credentials: put the stand-in's credentials into the credentials secret after deploying.
        tell: called with a word on every step and the seconds it took.

    When the block ends, by an exception, Ctrl-C or SIGTERM too, every process is ended and every file is
    gone.
    """

    def __init__(
        self,
        parameters: Mapping[str, str] | None = None,
        *,
        with_credentials: bool = True,
        tell: Callable[[str, float], None] | None = None,
    ) -> None:
        self.personr = PersonrServer()
        self.ministack = MiniStack()
        self.outputs: dict[str, str] = {}
        self._parameters = dict(parameters or {})
        self._with_credentials = with_credentials
        self._tell = tell or (lambda _step, _seconds: None)
        self._closing = contextlib.ExitStack()
        self._user_count = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            opening.enter_context(_sigterm_raises())
            opening.enter_context(self.personr)
            with self._step("build the template (sam build)"):
                artifacts = build.build()
            with self._step("start the AWS emulator (MiniStack)"):
                opening.enter_context(self.ministack)
                self.client("s3").create_bucket(Bucket=BUCKET)
            with self._step("deploy the template (sam deploy)"):
                self._deploy(str(artifacts / "template.yaml"))
            if self._with_credentials:
                self.put_credentials()
            self._closing = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    # --- AWS as it is seen here --------------------------------------------------------------------------

    def client(self, service: Any, session: boto3.Session | None = None) -> Any:
        """A boto3 client that speaks to the emulator; without a session, root's."""
        return (session or self.root_session()).client(
            service,
            endpoint_url=self.ministack.url,
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=70),
        )

    def root_session(self) -> boto3.Session:
        """Root of the emulated account."""
        return _session("test", "test")

    def create_user(self, policy_arns: tuple[str, ...] = ()) -> User:
        """A new IAM user that has these managed policies and nothing else."""
        iam: IAMClient = self.client("iam")
        self._user_count += 1
        name = f"caller-{self._user_count}"
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        for policy_arn in policy_arns:
            iam.attach_user_policy(UserName=name, PolicyArn=policy_arn)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return User(name, arn, _session(key["AccessKeyId"], key["SecretAccessKey"]))

    def put_credentials(self, email: str = DEFAULT_EMAIL, password: str = DEFAULT_PASSWORD) -> None:
        """Put the service account's credentials where an operator puts them."""
        self.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["CredentialsSecretArn"],
            SecretString=json.dumps({"email": email, "password": password}),
        )

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

    # ------------------------------------------------------------------------------------------------------

    def _deploy(self, template: str) -> None:
        given = {**PARAMETERS, "PersonrBaseUrl": self.personr.base_url, **self._parameters}
        command = [str(bootstrap.BUILD / "sam" / "bin" / "sam"), "deploy", "--template-file", template]
        command += ["--stack-name", STACK_NAME, "--s3-bucket", BUCKET, "--region", REGION]
        command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"]
        command += ["--config-env", "embedded"]
        command += [
            "--parameter-overrides",
            *(f"{name}={json.dumps(value)}" for name, value in given.items()),
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
            check=False,
        )
        if finished.returncode:
            raise StackError(f"sam deploy failed ({finished.returncode}):\n{finished.stdout}")
        stack = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

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


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
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
