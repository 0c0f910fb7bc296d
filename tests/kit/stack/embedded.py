"""The embedded stack: `sam build`, `sam deploy` onto MiniStack, Personr's stand-in, and callers of it."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from scripts import build
from scripts import template as cloudformation
from tests.kit.personr import WHOAMI_PATH, PersonrServer
from tests.kit.secret_texts import secret_texts
from tests.kit.stack.emulated_aws import (
    BUCKET,
    ROOT,
    STACK_NAME,
    EmulatedAws,
    Reply,
    StackError,
    User,
    deployable,
    empty_secrets,
    sigterm_raises,
)
from tests.kit.stack.ministack import ACCOUNT_ID, REGION

__all__ = ["BUCKET", "PARAMETERS", "ROOT", "STACK_NAME", "EmbeddedStack", "empty_secrets", "sigterm_raises"]
CALLER = Path(__file__).with_name("caller.py")
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


class EmbeddedStack(EmulatedAws):
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
        tell: Callable[[str, float], None] = lambda _step, _seconds: None,
        issuer: PersonrServer | None = None,
    ) -> None:
        super().__init__()
        self.personr = issuer or PersonrServer()
        self._parameters = dict(parameters or {})
        self._with_credentials = with_credentials
        self._tell = tell
        self._closing = contextlib.ExitStack()
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
            template["Resources"] = {
                n: r for n, r in template["Resources"].items() if r["Type"] != "AWS::SQS::QueuePolicy"
            }
            self._template = str(self.ministack.folder / "template.json")
            Path(self._template).write_text(json.dumps(template), encoding="utf-8")
            with self._step("deploy the template (sam deploy)"):
                self.deploy()
            empty_secrets(self.client("secretsmanager"))
            if self._with_credentials:
                self.put_credentials()
            self._closing = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._closing:
            if kind is None and (leaks := self.leaks()):
                raise StackError(f"a secret is in {', '.join(leaks)}")

    def deploy(self, parameters: Mapping[str, str] | None = None) -> None:
        """Deploy the built template, again if you like, with these parameters over the stack's own."""
        given = {**PARAMETERS, **self.personr.parameters, **self._parameters, **(parameters or {})}
        self.outputs = self.deploy_beside(STACK_NAME, self._template, given)

    def put_credentials(self, **fields: str) -> None:
        """Put the service account's credentials where an operator puts them."""
        self.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["CredentialsSecretArn"],
            SecretString=json.dumps({**self.personr.secret_value, **fields}),
        )

    def leaks(self) -> list[str]:
        """The places in which a password, a Basic value or a token is found; reads the queues empty."""
        credentials = [json.dumps(self.personr.secret_value)]
        credentials += [text for _, text in self.ever_held("CredentialsSecretArn")]
        records = [text for _, text in self.ever_held("TokenSecretArn")]
        secrets = secret_texts(credentials, records, self.personr.ever_minted)
        return [place for place, text in self.places() if any(secret in text for secret in secrets)]

    def vend(self, request: Mapping[str, Any] | None = None, session: boto3.Session | None = None) -> Reply:
        return self.invoke(self.outputs["VendFunctionArn"], request or {}, session)

    def refresh(self, event: Mapping[str, Any]) -> Reply:
        return self.invoke(f"{self.outputs['RefreshFunctionName']}:live", event, None)

    def http(self, method: str, path: str, user: User | None = None) -> tuple[int, bytes]:
        """Status and body of a request to the function's URL, signed by this user or not at all."""
        url = self.outputs["VendUrl"].rstrip("/") + path
        request = AWSRequest(method, url, headers={"Host": urlsplit(url).netloc})
        if user is not None:
            keys = ReadOnlyCredentials(user.access_key_id, user.secret_access_key, None)
            SigV4Auth(keys, "lambda", REGION).add_auth(request)
        headers = dict(request.headers.items())
        answer = urllib3.request(
            method, self.ministack.url + path, headers=headers, timeout=30, retries=False
        )
        return answer.status, answer.data

    def current_version(self) -> str | None:
        listed = self.listed("TokenSecretArn")
        return next((v["VersionId"] for v in listed if "AWSCURRENT" in v.get("VersionStages", ())), None)

    def versions(self) -> list[Version]:
        versions = []
        for entry, text in self.ever_held("TokenSecretArn"):
            held = json.loads(text) if text else {}
            token = held.get("access_token")
            kind = "token" if token else "intent" if "intent" in held else "empty"
            labels = tuple(sorted(entry.get("VersionStages", ())))
            alive = self.personr.is_live(token)
            versions.append(Version(entry["VersionId"], labels, entry["CreatedDate"], kind, alive))
        return sorted(versions, key=lambda version: (version.created, version.kind == "token"))

    @contextlib.contextmanager
    def caller(self, user: User, *, over_http: bool = False) -> Iterator[Caller]:
        # The emulator's own address: the URL's name leads nowhere.
        url_id = urlsplit(self.outputs["VendUrl"]).netloc.partition(".")[0]
        url = {"PERSONR_TOKEN_URL": f"{self.ministack.url}/_aws/lambda-url/{url_id}"}
        environment = {
            **self.ministack.environment,
            "AWS_ACCESS_KEY_ID": user.access_key_id,
            "AWS_SECRET_ACCESS_KEY": user.secret_access_key,
            **(url if over_http else {"PERSONR_TOKEN_FUNCTION": self.outputs["VendFunctionArn"]}),
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

    @contextlib.contextmanager
    def _step(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._tell(what, time.monotonic() - started)
