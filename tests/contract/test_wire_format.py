"""The wire format, held by three: docs/schemas and docs/openapi.yaml, the vending package, and the client.

None of them imports another; here they meet.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry, Resource

from tests.unit import made_up
from tests.unit.test_doors import ALLOWED, http_event, rejection
from tests.unit.test_handing_out import Shelf
from token_client import _wire
from token_vending import doors, errors
from token_vending.errors import ConfigurationError, InvalidRequest, StoreUnavailable
from token_vending.handing_out import HandOutDesk
from token_vending.requests import VendRequest, parse_rejection
from token_vending.token import Token, utc_now

if TYPE_CHECKING:
    from token_vending.audit import AuditEvent

DOCS = Path(__file__).parents[2] / "docs"
SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text())
    for path in (DOCS / "schemas").iterdir()
}
OPENAPI = yaml.safe_load((DOCS / "openapi.yaml").read_text())
HTTP_SCHEMAS = OPENAPI["components"]["schemas"]
REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)
KNOWN_AS = {"TokenAnswer": "token-answer", "Rejection": "rejection", "Problem": "problem"}
SCHEMAS |= {
    KNOWN_AS.get(name, name): schema for name, schema in HTTP_SCHEMAS.items() if name != "TokenAnswer"
}


@cache
def validator(name: str) -> Any:
    from jsonschema import Draft202012Validator, FormatChecker  # noqa: PLC0415  three seconds to import

    Draft202012Validator.check_schema(SCHEMAS[name])
    return Draft202012Validator(SCHEMAS[name], registry=REGISTRY, format_checker=FormatChecker())


def complaints(name: str, document: object) -> list[str]:
    return [error.message for error in validator(name).iter_errors(document)]


REJECTED = {"rejected_version": made_up.VERSION}


def token() -> Token:
    return made_up.token(issued_at=utc_now() - made_up.DAY, expires_at=utc_now() + made_up.YEAR)


def vendor(content: Token | errors.TokenVendingError | None) -> HandOutDesk:
    """A desk over a token secret with one content, or a failure, and a refresh that is started and does nothing."""
    shelf = Shelf(content)
    return HandOutDesk(shelf, shelf, utc_now)


def nowhere(_event: AuditEvent) -> None:
    pass


# --- the documents themselves -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_its_examples_fit(name: str) -> None:
    assert SCHEMAS[name]["examples"]
    for example in SCHEMAS[name]["examples"]:
        assert complaints(name, example) == []


def test_the_openapi_page_is_one() -> None:
    from openapi_spec_validator import validate  # noqa: PLC0415  as above

    validate(OPENAPI, base_uri=(DOCS / "openapi.yaml").as_uri())


def test_the_examples_of_the_openapi_page_fit_their_schemas() -> None:
    seen = set()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            schema = node.get("schema")
            if isinstance(schema, dict) and "$ref" in schema and "example" in node:
                name = Path(schema["$ref"]).name
                assert complaints(KNOWN_AS.get(name, name), node["example"]) == []
                seen.add(name)
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            walk(child)

    walk(OPENAPI)

    assert seen == {"TokenAnswer", "Rejection", "Problem", "AwsAnswer"}


def test_the_answer_is_the_same_through_both_doors() -> None:
    direct, http = SCHEMAS["token-answer"], HTTP_SCHEMAS["TokenAnswer"]

    for field in ("type", "required", "properties"):
        assert direct[field] == http[field]


def test_one_list_of_error_names_for_all() -> None:
    leaves = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, errors.TokenVendingError)
        and not value.__subclasses__()
    }

    for name in ("error-message", "problem"):  # open lists: a newer function may have more
        assert set(SCHEMAS[name]["properties"]["error"]["examples"]) == leaves
    assert set(_wire._ERRORS) == leaves


# --- requests ---------------------------------------------------------------------------------------------

versions = st.from_regex(r"\A[0-9A-Za-z_.:-]{1,9}\Z")
texts = st.one_of(versions, st.text(max_size=5), st.sampled_from(["v" * 256, "v" * 257, "v-1 ", "v-\u00e9"]))
numbers = st.one_of(st.integers(), st.sampled_from([-1, 0, 1, 10**10, 10**10 + 1]))
values = st.one_of(st.none(), st.booleans(), numbers, st.floats(), texts, st.lists(texts))
fields = st.sampled_from(["rejected_version", "min_seconds", "version", "force", ""])
requests = st.one_of(values, st.dictionaries(fields, values, max_size=3))


def is_taken(parse: Any, request: object) -> bool:
    try:
        parse(request)
    except InvalidRequest:
        return False
    return True


def ends_a_line(request: object) -> bool:
    """What the function refuses and this validator takes: to Python, `$` also matches before a last newline."""
    return isinstance(request, dict) and any(
        isinstance(value, str) and value.endswith("\n") for value in request.values()
    )


@given(requests)
def test_the_function_takes_the_requests_and_rejections_that_the_schemas_allow(request: object) -> None:
    is_rejection = complaints("rejection", request) == [] and not ends_a_line(request)
    assert is_taken(parse_rejection, json.dumps(request)) == is_rejection
    if isinstance(request, dict) and any(isinstance(value, float) for value in request.values()):
        return  # 1.0 is an integer to JSON Schema, and none to the function
    is_request = complaints("token-request", request) == [] and not ends_a_line(request)
    assert is_taken(VendRequest.parse, request) == is_request


@given(st.one_of(st.none(), versions), st.one_of(st.none(), st.integers(0, 99)))
def test_what_the_client_asks_fits_the_schema(version: str | None, seconds: int | None) -> None:
    assert complaints("token-request", _wire.TokenRequest(version, seconds).payload()) == []


# --- answers and errors -----------------------------------------------------------------------------------


def test_both_doors_give_the_same_answer_and_the_client_reads_it() -> None:
    current = token()
    direct = doors.direct({}, vendor(current), nowhere)
    response = doors.http(http_event(), vendor(current), ALLOWED, nowhere)
    over_http = json.loads(response["body"])

    for answer in (direct, over_http):
        assert complaints("token-answer", answer) == []
        read = _wire.parse_answer(json.dumps(answer))
        assert read.token.access_token() == current.access_token()
        assert read.token.version == current.version
        assert abs(read.token.expires_at - current.expires_at) < timedelta(seconds=1)
        assert read.cache_seconds == 300
    assert {**direct, "expires_in": 0} == {**over_http, "expires_in": 0}
    assert response["headers"]["ETag"] == f'"{current.version}"'


type Failure = tuple[Token | errors.TokenVendingError | None, dict[str, Any], int, str, int | None]
# What the store holds or raises, the request, then the HTTP status, the error and its own retry_after.
FAILURES: dict[str, Failure] = {
    "no token": (None, {}, 503, "TokenUnavailable", 2),
    "the current version rejected": (token(), REJECTED, 503, "TokenUnavailable", 2),
    "store": (StoreUnavailable("Secrets Manager throttles."), {}, 503, "StoreUnavailable", None),
    "store, says when": (StoreUnavailable("x", retry_after=7), {}, 503, "StoreUnavailable", 7),
    "store, at once": (StoreUnavailable("x", retry_after=0), {}, 503, "StoreUnavailable", 0),
    "content": (ConfigurationError("The secret holds no token."), {}, 500, "ConfigurationError", None),
    "request": (token(), {"min_seconds": -1}, 400, "InvalidRequest", None),
    "unknown field": (token(), {"x": 1}, 400, "InvalidRequest", None),
}
failures = pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)


@failures
def test_a_direct_error_fits_its_schema_the_client_names_it_and_it_is_audited_once(failure: Failure) -> None:
    content, request, status, error, retry_after = failure
    audit: list[AuditEvent] = []
    with pytest.raises(errors.TokenVendingError) as caught:
        doors.direct(request, vendor(content), audit.append)
    payload = {"errorType": type(caught.value).__name__, "errorMessage": str(caught.value)}
    told = json.loads(payload["errorMessage"])

    assert complaints("direct-error", payload) == []
    assert complaints("error-message", told) == []
    assert payload["errorType"] == told["error"] == error
    assert told.get("retry_after") == retry_after
    read = _wire.function_error(json.dumps(payload))
    assert (read.remote_error, read.retry_after) == (error, retry_after)
    assert [line.outcome for line in audit] == ["invalid" if status == 400 else "unavailable"]
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@failures
def test_a_problem_fits_its_schema_and_the_client_names_it(failure: Failure) -> None:
    content, request, status, error, retry_after = failure
    if request == REJECTED:
        event, path, method = rejection(), "/token/rejections", "post"
    else:
        query = {field: str(value) for field, value in request.items()}
        event, path, method = http_event(queryStringParameters=query), "/token", "get"
    audit: list[AuditEvent] = []
    response = doors.http(event, vendor(content), ALLOWED, audit.append)
    document = json.loads(response["body"])

    assert response["statusCode"] == document["status"] == status
    assert str(status) in OPENAPI["paths"][path][method]["responses"]
    assert complaints("problem", document) == []
    seconds = 5 if status == 503 and retry_after is None else retry_after
    assert document.get("retry_after") == seconds
    header = response["headers"].get("Retry-After")
    assert header == (None if seconds is None else str(seconds))
    read = _wire.problem(status, response["body"], header)
    assert (read.remote_error, read.retry_after) == (error, seconds)
    assert [line.error for line in audit] == [error]
