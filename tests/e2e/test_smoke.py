"""A deployed stack, tried from outside: `make smoke STACK=name`. In `make test`, test_first_day.py runs all of it
against the embedded stack.

It only reads, unless REFRESH=1. The negative probe takes a role without the grant: PROBE_ROLE_ARN.
"""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from token_vending_ops.deployed import DeployedStack
from token_vending_ops.doctor import examine
from token_vending_ops.findings import as_table

MAY_REFRESH = os.environ.get("REFRESH") == "1"
pytestmark = [pytest.mark.timeout(240), pytest.mark.live]


@dataclass
class Target:
    """The stack under test. `door` is where its URL is listened for; None: it has none."""

    stack: DeployedStack
    session: boto3.Session
    door: str | None

    def http(self, path: str, session: boto3.Session | None) -> tuple[int, dict[str, Any]]:
        if self.door is None:
            pytest.skip("deployed with UrlDoor=false")
        host = self.stack.outputs["VendUrl"].split("/")[2]
        headers = {"Host": host}
        if session is not None:
            request = AWSRequest("GET", f"https://{host}{path}", headers={"host": host})
            credentials = session.get_credentials()
            assert credentials is not None
            SigV4Auth(credentials.get_frozen_credentials(), "lambda", session.region_name).add_auth(request)
            headers |= dict(request.headers.items())
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.door + path, headers=headers), timeout=30
            ) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")


@pytest.fixture(scope="module")
def target() -> Target:
    session = boto3.Session()
    stack = DeployedStack(os.environ["AWS_SAM_STACK_NAME"], session)
    # SMOKE_DOOR is for the test of this suite: nobody resolves the name of an emulator's URL.
    door = os.environ.get("SMOKE_DOOR") or stack.outputs["VendUrl"].rstrip("/") if stack.has_url else None
    return Target(stack, session, door)


@pytest.fixture(scope="module")
def stranger(target: Target) -> boto3.Session:
    role = os.environ.get("PROBE_ROLE_ARN")
    if not role:
        pytest.skip("PROBE_ROLE_ARN names no role without the grant")
    given = target.session.client("sts").assume_role(RoleArn=role, RoleSessionName="smoke")["Credentials"]
    return boto3.Session(
        given["AccessKeyId"],
        given["SecretAccessKey"],
        given["SessionToken"],
        region_name=target.session.region_name,
    )


def invoke(session: boto3.Session, name: str, event: dict[str, Any]) -> dict[str, Any]:
    answer: Any = session.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    assert "FunctionError" not in answer, answer["Payload"].read()
    payload: dict[str, Any] = json.loads(answer["Payload"].read())
    return payload


def current_version(target: Target) -> str:
    described = target.stack.client("secretsmanager").describe_secret(
        SecretId=target.stack.outputs["TokenSecretArn"]
    )
    labels = described["VersionIdsToStages"].items()
    return next(version for version, stages in labels if "AWSCURRENT" in stages)


def test_a_direct_caller_gets_the_current_token(target: Target) -> None:
    if MAY_REFRESH:
        # Whatever this instance of the function remembers from earlier tests, it is not what is stored now.
        invoke(target.session, target.stack.outputs["VendFunctionArn"], {"rejected_version": "none"})
    answer = invoke(target.session, target.stack.outputs["VendFunctionArn"], {})
    assert answer["version"] == current_version(target)
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] > 0


def test_a_signed_request_reaches_the_function_behind_the_url(target: Target) -> None:
    """AWS lets it through, which takes both permissions; whether `AllowedCallers` does is the function's word."""
    status, answer = target.http("/token", target.session)
    assert status in (200, 403), (status, sorted(answer))
    if status == 403:
        assert answer["error"] == "CallerNotAllowed", "refused by AWS, not by the function"


def test_an_unsigned_request_is_refused_by_aws(target: Target) -> None:
    status, answer = target.http("/token", None)
    assert status == 403
    assert "error" not in answer


def test_a_stranger_is_refused_directly(target: Target, stranger: boto3.Session) -> None:
    functions = stranger.client("lambda")
    for name in (
        target.stack.outputs["VendFunctionArn"],
        f"{target.stack.outputs['RefreshFunctionName']}:live",
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            functions.invoke(FunctionName=name)


def test_a_stranger_is_refused_at_the_url(target: Target, stranger: boto3.Session) -> None:
    status, answer = target.http("/token", stranger)
    assert status == 403
    assert "error" not in answer


def test_a_stranger_cannot_read_the_secrets(target: Target, stranger: boto3.Session) -> None:
    for output in ("TokenSecretArn", "CredentialsSecretArn"):
        with pytest.raises(ClientError, match="AccessDenied"):
            stranger.client("secretsmanager").get_secret_value(SecretId=target.stack.outputs[output])


def test_the_doctor_finds_callers_well_served(target: Target) -> None:
    findings = examine(target.stack)
    assert {finding.check for finding in findings} >= {"credentials", "token", "lock", "schedule", "roles"}
    suffering = [f for f in findings if f.severity.name == "CRITICAL" and f.check != "alarms"]
    assert suffering == [], as_table(findings)


@pytest.mark.skipif(not MAY_REFRESH, reason="only with REFRESH=1: it costs every caller one 401")
def test_a_forced_refresh_mints_and_stores(target: Target) -> None:
    before = current_version(target)
    alias = f"{target.stack.outputs['RefreshFunctionName']}:live"
    functions = target.stack.client("lambda")
    report = json.load(functions.invoke(FunctionName=alias, Payload='{"force": true}')["Payload"])
    assert report["outcome"] == "refreshed", report
    assert current_version(target) == report["version"] != before
