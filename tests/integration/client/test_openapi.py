"""The OpenAPI page against the vend function: every answer to generated requests is of the page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests.auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, Phase, given, settings

from tests.integration.world import Stage
from tests.kit.runtime import FunctionUrl
from tests.kit.runtime.function_url import CALLER, Principal
from tests.kit.secrets_manager.server import ACCOUNT_ID, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGER = Principal(
    "AKIASTRANGER00000000", "strangers-secret", f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/stranger/session"
)
OPERATIONS = [("/token", "GET"), ("/token/rejections", "POST")]


@cache
def page() -> Any:
    from schemathesis import openapi  # noqa: PLC0415  two seconds to import

    return openapi.from_path(Path(__file__).parents[3] / "docs" / "openapi.yaml")


def checks() -> list[Any]:
    """What an answer has to be, whatever its status."""
    from schemathesis.specs.openapi import checks as kinds  # noqa: PLC0415  as above

    return [
        kinds.status_code_conformance,
        kinds.content_type_conformance,
        kinds.response_headers_conformance,
        kinds.response_schema_conformance,
    ]


class Signed(requests.auth.AuthBase):
    """Signs as a caller does."""

    def __init__(self, principal: Principal) -> None:
        self._credentials = Credentials(principal.access_key, principal.secret_key)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        signed = AWSRequest(request.method, request.url, data=request.body)
        SigV4Auth(self._credentials, "lambda", REGION).add_auth(signed)
        request.headers.update(dict(signed.headers))
        return request


@pytest.fixture(scope="module")
def stack() -> Iterator[tuple[Stage, FunctionUrl]]:
    with Stage() as world, FunctionUrl(world.vend.run, [CALLER, STRANGER]) as url:
        world.mint_first()
        yield world, url


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
        assert response.status_code < 500
        case.validate_response(response, checks=checks())

    ask()

    assert 200 in statuses


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_status_of_the_page_is_served(stack: tuple[Stage, FunctionUrl], path: str, method: str) -> None:
    world, url = stack
    operation = page()[path][method]
    version = world.version
    assert version is not None
    good: dict[str, Any] = {} if method == "GET" else {"body": {"version": "one-before"}}
    cases: dict[int, tuple[dict[str, Any], Principal]] = {
        200: (good, CALLER),
        400: ({"query": {"min_seconds": "soon"}} if method == "GET" else {"body": {}}, CALLER),
        403: (good, STRANGER),
    }
    if method == "GET":
        cases[304] = ({"headers": {"If-None-Match": f'"{version}"'}}, CALLER)
    else:
        cases[503] = ({"body": {"version": version}}, CALLER)
    for status, (request, principal) in cases.items():
        case = operation.Case(media_type="application/json" if method == "POST" else None, **request)
        response = case.call(base_url=url.url, auth=Signed(principal), timeout=20)
        assert response.status_code == status
        case.validate_response(response, checks=checks())


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/", 404, None),
        ("GET", "/token/", 404, None),
        ("POST", "/token/rejections/5", 404, None),
        ("POST", "/token", 405, "GET"),
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
