"""The harness around the functions behaves as Lambda does where the functions' own tests would not tell."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.kit.runtime import Artefact, FunctionUrl, LambdaFunction
from tests.kit.runtime.function_url import CALLER
from tests.kit.secrets_manager.server import REGION
from tests.kit.stand_ins.lambda_service import LambdaService

TOY = """
import importlib.util, os, time

def handler(event, context):
    if "sleep" in event:
        time.sleep(event["sleep"])
    if "exit" in event:
        os._exit(3)
    return [name for name in event.get("find", ()) if importlib.util.find_spec(name)]
"""


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[LambdaFunction]:
    (tmp_path / "app.py").write_text(TOY)
    with LambdaFunction(Artefact("Toy", tmp_path, ()), {}, timeout_seconds=10) as function:
        yield function


def test_the_development_environment_is_out_of_reach(toy: LambdaFunction) -> None:
    wanted = ["json", "boto3", "botocore", "aws_lambda_powertools", "pytest"]
    assert toy.invoke({"find": wanted}).payload == ["json"]


def test_a_process_that_ends_before_it_has_answered_is_an_error_and_replaced(toy: LambdaFunction) -> None:
    assert toy.invoke({"sleep": 30}, timeout_seconds=0.3).error_type == "Sandbox.Timedout"
    assert toy.invoke({"exit": 1}).error_type == "Runtime.ExitError"
    assert toy.invoke({}).ok


def test_a_broken_import_is_an_init_error(toy: LambdaFunction, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import no_such_module")
    assert toy.invoke({}).error_type == "Runtime.ImportModuleError"


def test_unsigned_and_badly_signed_requests_are_forbidden(toy: LambdaFunction) -> None:
    with FunctionUrl(toy.run) as url:
        unsigned = AWSRequest("GET", f"{url.url}/token")
        forged = AWSRequest("GET", f"{url.url}/token")
        SigV4Auth(Credentials(CALLER.access_key, "another-key"), "lambda", REGION).add_auth(forged)
        for request in (unsigned, forged):
            headers = dict(request.headers.items())
            assert urllib3.request("GET", str(request.url), headers=headers, retries=False).status == 403
        assert url.events == []


def test_an_asynchronous_event_that_fails_at_each_try_is_kept(toy: LambdaFunction) -> None:
    with LambdaService() as service:
        client = boto3.client("lambda", endpoint_url=service.url, region_name=REGION)
        service.wire("Toy", toy.run)
        client.invoke(FunctionName=f"{toy.arn}:live", InvocationType="Event", Payload=b'{"exit": 1}')
        service.settle()
        (failed,) = service.failed_events
        assert (failed.function, failed.qualifier, failed.event) == ("Toy", "live", {"exit": 1})
