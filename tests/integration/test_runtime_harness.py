"""The harness around the functions behaves as Lambda does, shown with a function of its own."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.kit.runtime import Artefact, FunctionUrl, LambdaFunction, Principal
from tests.kit.runtime.function_url import CALLER
from tests.kit.secrets_manager.server import REGION
from tests.kit.stand_ins.lambda_service import LambdaService

TOY = """
import json, os, sys, time

class Unhappy(Exception):
    pass

calls = 0

def handler(event, context):
    global calls
    calls += 1
    if "raise" in event:
        raise Unhappy(json.dumps({"error": "Unhappy", "message": event["raise"]}))
    if "sleep" in event:
        time.sleep(event["sleep"])
    if "exit" in event:
        os._exit(3)
    if "import" in event:
        try:
            __import__(event["import"])
            return "found"
        except ImportError:
            return "missing"
    if "requestContext" in event:
        return {"statusCode": 200, "headers": {"ETag": "1"}, "body": json.dumps({
            "caller": event["requestContext"]["authorizer"]["iam"]["userArn"], "path": event["rawPath"],
            "arn": context.invoked_function_arn,
            "query": event.get("queryStringParameters"), "body": event.get("body")})}
    print("handled", event)
    return {"calls": calls, "request_id": context.aws_request_id,
            "left": context.get_remaining_time_in_millis(), "arn": context.invoked_function_arn}
"""


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[LambdaFunction]:
    (tmp_path / "app.py").write_text(TOY)
    with LambdaFunction(Artefact("Toy", tmp_path, ()), {}, timeout_seconds=10) as function:
        yield function


def test_an_event_is_answered_with_its_context(toy: LambdaFunction) -> None:
    result = toy.invoke({"a": 1}, "the-request-id")
    assert result.ok, result
    assert result.payload["request_id"] == "the-request-id"
    assert result.payload["arn"] == f"{toy.arn}:live"
    assert 9_000 < result.payload["left"] <= 10_000
    assert "handled {'a': 1}" in toy.logs


def test_a_warm_environment_keeps_its_state_and_a_cold_one_does_not(toy: LambdaFunction) -> None:
    assert [toy.invoke({}).payload["calls"] for _ in range(2)] == [1, 2]
    toy.go_cold()
    assert toy.invoke({}).payload["calls"] == 1


def test_an_exception_comes_with_its_own_type(toy: LambdaFunction) -> None:
    result = toy.invoke({"raise": "because"})
    assert result.error_type == "Unhappy"
    assert result.problem == {"error": "Unhappy", "message": "because"}


@pytest.mark.parametrize("module", ["boto3", "botocore", "aws_lambda_powertools", "pytest"])
def test_the_development_environment_is_out_of_reach(toy: LambdaFunction, module: str) -> None:
    assert toy.invoke({"import": module}).payload == "missing"


def test_a_timeout_kills_the_environment(toy: LambdaFunction) -> None:
    assert toy.invoke({"sleep": 30}, timeout_seconds=0.3).error_type == "Sandbox.Timedout"
    assert toy.invoke({}).payload["calls"] == 1


def test_a_function_that_exits_is_an_error(toy: LambdaFunction) -> None:
    assert toy.invoke({"exit": 1}).error_type == "Runtime.ExitError"


def test_a_kill_in_the_middle_is_an_error(toy: LambdaFunction) -> None:
    pending = toy.start({"sleep": 30})
    assert pending.invocation.handed_over.wait(60)
    pending.kill()
    assert pending.wait().error_type == "Runtime.ExitError"
    assert toy.invoke({}).ok


def test_a_broken_import_is_an_init_error(toy: LambdaFunction, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import no_such_module")
    assert toy.invoke({}).error_type == "Runtime.ImportModuleError"


def signed(
    url: str, principal: Principal, method: str = "GET", body: str | None = None
) -> urllib3.BaseHTTPResponse:
    request = AWSRequest(method, url, data=body, headers={"Content-Type": "application/json"} if body else {})
    SigV4Auth(Credentials(principal.access_key, principal.secret_key), "lambda", REGION).add_auth(request)
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request(method, url, body=body, headers=dict(request.headers.items()))


def test_a_signed_request_reaches_the_function_with_its_identity(toy: LambdaFunction) -> None:
    with FunctionUrl(toy.run) as url:
        answer = signed(f"{url.url}/token?min_seconds=60", CALLER)
        assert answer.json() == {
            "caller": CALLER.user_arn,
            "arn": f"{toy.arn}:url",
            "path": "/token",
            "query": {"min_seconds": "60"},
            "body": None,
        }
        assert answer.headers["ETag"] == "1"
        assert signed(f"{url.url}/x", CALLER, "POST", '{"a": 1}').json()["body"] == '{"a": 1}'


def test_unsigned_and_badly_signed_requests_are_forbidden(toy: LambdaFunction) -> None:
    forger = Principal(CALLER.access_key, "another-key", CALLER.user_arn)
    with FunctionUrl(toy.run) as url, urllib3.PoolManager(retries=False) as pool:
        assert pool.request("GET", f"{url.url}/token").status == 403
        assert signed(f"{url.url}/token", forger).status == 403
        assert url.events == []


def test_lambda_runs_what_is_wired_and_records_the_rest(toy: LambdaFunction) -> None:
    with LambdaService() as service:
        client = boto3.client(
            "lambda",
            endpoint_url=service.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.invoke(FunctionName=f"{toy.arn}:live", InvocationType="Event", Payload=b'{"b": 2}')
        assert [(one.function, one.qualifier, one.event) for one in service.invocations] == [
            ("Toy", "live", {"b": 2})
        ]
        service.wire("Toy", toy.run)
        answer = client.invoke(FunctionName="Toy", Qualifier="live", Payload=b"{}")
        assert f"{toy.arn}:live" in answer["Payload"].read().decode()
        answer = client.invoke(FunctionName="Toy", Payload=b'{"raise": "x"}')
        assert answer["FunctionError"] == "Unhandled"
        client.invoke(FunctionName="Toy", InvocationType="Event", Payload=b'{"raise": "x"}')
        service.settle()
        assert len(service.failed_events) == 1
