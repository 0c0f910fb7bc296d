"""The harness around the functions behaves as Lambda does, shown with a function of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.kit.runtime import Artefact, FunctionUrl, LambdaFunction, Principal
from tests.kit.runtime.function_url import CALLER
from tests.kit.secrets_manager.server import REGION

TOY = """
import importlib.util, json, time

calls = 0

def handler(event, context):
    global calls
    calls += 1
    if "sleep" in event:
        time.sleep(event["sleep"])
    if "import" in event:
        return [name for name in event["import"] if importlib.util.find_spec(name)]
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


def test_the_development_environment_is_out_of_reach(toy: LambdaFunction) -> None:
    assert toy.invoke({"import": ["boto3", "botocore", "aws_lambda_powertools", "pytest"]}).payload == []


def test_a_timeout_kills_the_environment(toy: LambdaFunction) -> None:
    assert [toy.invoke({}).payload["calls"] for _ in range(2)] == [1, 2]
    assert toy.invoke({"sleep": 30}, timeout_seconds=0.3).error_type == "Sandbox.Timedout"
    assert toy.invoke({}).payload["calls"] == 1


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
