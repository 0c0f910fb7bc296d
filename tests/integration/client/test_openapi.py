"""The OpenAPI page against the vend function: every answer to generated requests is of the page."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests.auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, Phase, given, settings

from tests.kit.runtime import FunctionUrl
from tests.kit.runtime.function_url import CALLER, Principal
from tests.kit.secrets_manager.server import REGION
from tests.kit.stand_ins.loopback import Response

from .surroundings import ROOT, STRANGER, run
from .test_doors import Door

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.integration.world import Stage

PAGE = ROOT / "docs" / "openapi.yaml"
OPERATIONS = [("/token", "GET"), ("/token/rejections", "POST")]


@cache
def page() -> Any:
    from schemathesis import openapi  # noqa: PLC0415  two seconds to import

    return openapi.from_path(PAGE)


def checks() -> list[Any]:
    """What an answer has to be, whatever its status."""
    from schemathesis.specs.openapi import checks as kinds  # noqa: PLC0415  as above

    return [
        kinds.status_code_conformance,
        kinds.content_type_conformance,
        kinds.response_headers_conformance,
        kinds.response_schema_conformance,
    ]


def signature(principal: Principal, method: str | None, url: str | None, body: Any) -> dict[str, str]:
    """The headers that a caller's signature is made of."""
    signed = AWSRequest(method, url, data=body)
    SigV4Auth(Credentials(principal.access_key, principal.secret_key), "lambda", REGION).add_auth(signed)
    return dict(signed.headers)


@dataclass(frozen=True)
class Signed(requests.auth.AuthBase):
    principal: Principal

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(signature(self.principal, request.method, request.url, request.body))
        return request


@dataclass(frozen=True)
class SignedHttpx(httpx.Auth):
    principal: Principal

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers.update(signature(self.principal, request.method, str(request.url), request.content))
        yield request


@pytest.fixture(scope="module")
def stack(stage: Stage) -> Iterator[tuple[Stage, FunctionUrl]]:
    with FunctionUrl(stage.vend.run, [CALLER, STRANGER]) as url:
        stage.mint_first()
        yield stage, url


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_generated_requests_are_answered_as_the_page_says(
    stack: tuple[Stage, FunctionUrl], path: str, method: str
) -> None:
    _, url = stack
    statuses: set[int] = set()

    @settings(
        max_examples=40,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(case=page()[path][method].as_strategy())
    def ask(case: Any) -> None:
        response = case.call(base_url=url.url, auth=Signed(CALLER), timeout=20)
        statuses.add(response.status_code)
        assert response.status_code in {200, 304, 400}
        case.validate_response(response, checks=checks())

    ask()

    assert 200 in statuses


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_status_of_the_page_is_served(stack: tuple[Stage, FunctionUrl], path: str, method: str) -> None:
    world, url = stack
    operation = page()[path][method]
    media_type = None
    cases: dict[int, dict[str, Any]] = {
        200: {},
        304: {"headers": {"If-None-Match": f'"{world.version}"'}},
        400: {"query": {"min_seconds": "soon"}},
        403: {},
    }
    if method == "POST":
        media_type = "application/json"
        bodies = {200: "one-before", 400: 5, 403: "one-before", 503: world.version}
        cases = {status: {"body": {"version": version}} for status, version in bodies.items()}
    for status, request in cases.items():
        case = operation.Case(media_type=media_type, **request)
        signed = Signed(STRANGER if status == 403 else CALLER)
        response = case.call(base_url=url.url, auth=signed, timeout=20)
        assert response.status_code == status
        case.validate_response(response, checks=checks())


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/token/", 404, None),
        ("POST", "/token/rejections/5", 404, None),
        ("DELETE", "/token", 405, "GET"),
        ("GET", "/token/rejections", 405, "POST"),
    ],
)
def test_other_paths_and_methods_are_answered_as_the_page_says(
    stack: tuple[Stage, FunctionUrl], method: str, path: str, status: int, allowed: str | None
) -> None:
    _, url = stack
    answer = requests.request(method, f"{url.url}{path}", auth=Signed(CALLER), timeout=20)

    assert (answer.status_code, answer.headers.get("Allow")) == (status, allowed)
    # The page describes the answer with each operation, whichever path and method were asked for.
    page()["/token"]["GET"].validate_response(answer)
    stranger = requests.request(method, f"{url.url}{path}", auth=Signed(STRANGER), timeout=20)
    assert stranger.status_code == 403


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client that openapi-python-client makes of the page, imported."""
    folder = tmp_path_factory.mktemp("generated") / "generated_token_vending"
    command: list[str | Path] = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    formatter = {"PATH": str(Path(sys.executable).parent)}
    made = run([*command, "--path", PAGE, "--output-path", folder], formatter)
    assert made.returncode == 0, made.stderr
    assert "WARNING" not in made.stdout, made.stdout
    sys.path.insert(0, str(folder.parent))
    yield importlib.import_module(folder.name)
    sys.path.remove(str(folder.parent))


def ask(generated: Any, url: str, principal: Principal = CALLER, **options: Any) -> tuple[int, Any]:
    """The status of the answer, and what the generated client made of it."""
    operation = "report_rejection" if "body" in options else "get_token"
    module = importlib.import_module(f"{generated.__name__}.api.default.{operation}")
    auth = SignedHttpx(principal)
    client = generated.Client(
        url, raise_on_unexpected_status=True, httpx_args={"auth": auth, "trust_env": False}
    )
    with client:
        answer = module.sync_detailed(client=client, **options)
    return int(answer.status_code), answer.parsed


def test_a_generated_client_reads_every_answer_of_the_function(
    stack: tuple[Stage, FunctionUrl], generated: Any
) -> None:
    world, url = stack
    rejection = importlib.import_module(f"{generated.__name__}.models").Rejection

    status, token = ask(generated, url.url)
    assert (status, token.version, token.token_type) == (200, world.version, "Bearer")
    assert token.expires_at.tzinfo is not None
    assert ask(generated, url.url, if_none_match=f'"{world.version}"') == (304, None)
    assert ask(generated, url.url, body=rejection("one-before"))[1].version == world.version
    problems = {
        400: ask(generated, url.url, min_seconds=-1),
        404: ask(generated, f"{url.url}/elsewhere"),
        503: ask(generated, url.url, body=rejection(world.version)),
    }
    for wanted, (status, problem) in problems.items():
        assert (status, problem.status) == (wanted, wanted)
        assert problem.error in {"InvalidRequest", "TokenUnavailable"}
    assert problems[503][1].retry_after > 0
    status, refusal = ask(generated, url.url, STRANGER)
    assert (status, refusal["error"]) == (403, "CallerNotAllowed")


def problem(error: str, status: int) -> Response:
    return Response.of_json(
        {"error": error, "type": "urn:x", "title": "?", "status": status, "detail": "?"}, status
    )


@pytest.mark.parametrize(
    ("response", "parsed"),
    [
        (Response.of_json({"Message": "Forbidden"}, 403), {"Message": "Forbidden"}),
        (Response.of_json({"Reason": "ConcurrentInvocationLimitExceeded"}, 429), None),
        (Response(502, b"Internal Server Error"), None),
        (problem("SomethingNew", 503), None),
        (problem("InvalidRequest", 405), None),
        (problem("ConfigurationError", 500), None),
        (Response(504, b"<html>"), None),
    ],
    ids=["403", "429", "502", "an error that is new", "405", "500", "504"],
)
def test_a_generated_client_reads_rare_answers_and_those_of_aws_itself(
    generated: Any, response: Response, parsed: object
) -> None:
    with Door(response) as url:
        status, answer = ask(generated, url.url)

    assert status == response.status
    assert parsed is None or answer.to_dict() == parsed
