"""The two doors: what comes in, what goes out, and the one audit event that stays."""

import base64
import json
from typing import Any

import pytest

from tests.unit.made_up import DAY, SECOND, SECRET, VERSION, aged, expiring, token
from tests.unit.test_handing_out import NEWER, Counter
from token_vending import doors
from token_vending.audit import AuditEvent, Door, Outcome
from token_vending.callers import AllowedCallers
from token_vending.errors import ConfigurationError, InvalidRequest, StoreUnavailable, TokenUnavailable

ROLE = "arn:aws:iam::111122223333:role/billing"
CALLER = "arn:aws:sts::111122223333:assumed-role/billing/session"
ALLOWED = AllowedCallers.parse([ROLE])


def http_event(
    method: str = "GET", path: str = "/token", *, caller: object = CALLER, **fields: Any
) -> dict[str, Any]:
    """A Function URL's event (payload format 2.0) as far as it matters."""
    context: dict[str, Any] = {
        "http": {"method": method, "path": path},
        "stage": "$default",
        "authorizer": {"iam": {"userArn": caller}},
    }
    event = {"version": "2.0", "rawPath": path, "requestContext": context, "headers": {}}
    return {**event, "isBase64Encoded": False, **fields}


class HttpDoor:
    """The door with a process of the vend function behind it."""

    def __init__(self, holds: Any) -> None:
        self.counter = Counter(holds)
        self.audit: list[AuditEvent] = []

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        return doors.http(event, self.counter.vendor, ALLOWED, self.audit.append)

    @property
    def line(self) -> dict[str, Any]:
        (event,) = self.audit
        return event.as_dict()


@pytest.fixture
def door() -> HttpDoor:
    return HttpDoor(token())


def rejection(version: str = VERSION, **fields: Any) -> dict[str, Any]:
    return http_event("POST", "/token/rejections", body=json.dumps({"version": version}), **fields)


def problem(response: dict[str, Any]) -> dict[str, Any]:
    assert response["headers"]["Content-Type"] == "application/problem+json"
    assert response["headers"]["Cache-Control"] == "no-store"
    document: dict[str, Any] = json.loads(response["body"])
    assert document["status"] == response["statusCode"]
    assert document["type"] == f"urn:token-vending:error:{document['error']}"
    assert document["title"] == document["error"]
    return document


@pytest.mark.parametrize(
    "odd",
    [
        {"headers": None, "isBase64Encoded": "yes", "body": 5, "queryStringParameters": None},
        {"headers": {"If-None-Match": 5}, "queryStringParameters": []},
        {"requestContext": {"http": {"method": "GET"}, "authorizer": {"iam": {"userArn": CALLER}}}},
    ],
)
def test_what_has_another_type_than_documented_counts_as_absent(door: HttpDoor, odd: dict[str, Any]) -> None:
    assert door(http_event() | odd)["statusCode"] == 200


def test_a_caller_that_is_no_arn_is_nobody_and_is_not_repeated(door: HttpDoor) -> None:
    response = door(http_event(caller="made up\n" * 50))
    assert response["statusCode"] == 403
    assert "made up" not in json.dumps([response, door.line])


def test_the_name_of_a_header_may_be_written_in_any_case(door: HttpDoor) -> None:
    assert door(http_event(headers={"If-None-Match": f'"{VERSION}"'}))["statusCode"] == 304


# Which door ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "through_the_url"),
    [
        ("vend:url", True),
        ("vend:live", False),
        ("vend:1", False),
        ("vend:$LATEST", False),
        ("vend", False),
        ("url", False),
        ("url:live", False),
        ("vend:curl", False),
    ],
)
def test_only_the_alias_url_means_http(function: str, *, through_the_url: bool) -> None:
    assert doors.is_url(f"arn:aws:lambda:eu-west-1:111122223333:function:{function}") is through_the_url


def test_finding_6_a_direct_caller_that_writes_an_http_event_is_refused_and_its_arn_is_not_audited() -> None:
    forged = rejection(caller="arn:aws:iam::999999999999:role/victim")
    counter, audit = Counter(token()), list[AuditEvent]()
    with pytest.raises(InvalidRequest, match="alias url"):
        doors.direct(forged, counter.vendor, audit.append)
    assert [line.as_dict() for line in audit] == [
        {
            "door": "direct",
            "outcome": "invalid",
            "error": "InvalidRequest",
            "detail": "This alias takes direct requests. HTTP comes in through the alias url.",
        }
    ]
    assert counter.shelf.started == []


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"min_seconds": 5},
        [],
        None,
        "x",
        http_event() | {"requestContext": None},
        http_event() | {"requestContext": {}},
        http_event() | {"requestContext": {"http": "GET /token"}},
    ],
)
def test_a_direct_event_through_the_alias_of_the_url_is_refused(event: Any) -> None:
    door = HttpDoor(token())
    with pytest.raises(InvalidRequest, match="alias live"):
        door(event)
    assert door.line["outcome"] == "invalid"
    assert door.counter.shelf.reads == 0


# HTTP ----------------------------------------------------------------------------------------------------


def test_get_token_over_http_answers_with_the_token(door: HttpDoor) -> None:
    response = door(http_event())
    assert response["statusCode"] == 200
    assert json.loads(response["body"])["access_token"] == SECRET
    assert response["headers"] == {
        "Cache-Control": "no-store",
        "ETag": f'"{VERSION}"',
        "Content-Type": "application/json",
    }


def test_a_hand_out_leaves_who_which_and_what(door: HttpDoor) -> None:
    door(http_event())
    assert door.line == {
        "door": "http",
        "outcome": "handed_out",
        "caller": CALLER,
        "version": VERSION,
        "fingerprint": token().fingerprint,
        "cache_hit": False,
    }


@pytest.mark.parametrize(
    "tags",
    [
        f'"{VERSION}"',
        f'W/"{VERSION}"',
        f'"other", "{VERSION}"',
        f'"other",W/"{VERSION}"',
        "*",
        f' "{VERSION}" ',
    ],
)
def test_a_caller_who_has_this_version_is_told_so(door: HttpDoor, tags: str) -> None:
    response = door(http_event(headers={"if-none-match": tags}))
    assert response["statusCode"] == 304
    assert "body" not in response
    assert response["headers"]["ETag"] == f'"{VERSION}"'
    assert door.line["outcome"] == "not_modified"


@pytest.mark.parametrize(
    "tags", ["", VERSION, '"other"', f'"{VERSION}x"', f'"{VERSION}', "W/*", f'*, "{NEWER}"']
)
def test_a_caller_who_has_another_one_gets_the_token(door: HttpDoor, tags: str) -> None:
    assert door(http_event(headers={"if-none-match": tags}))["statusCode"] == 200


def test_a_rejection_of_an_old_version_gets_the_new_one(door: HttpDoor) -> None:
    response = door(rejection(NEWER))
    assert response["statusCode"] == 200
    assert json.loads(response["body"])["version"] == VERSION
    assert door.line["rejected_version"] == NEWER


def test_a_rejection_is_never_answered_with_not_modified(door: HttpDoor) -> None:
    response = door(rejection(NEWER, headers={"if-none-match": "*"}))
    assert response["statusCode"] == 200


def test_a_rejection_of_the_current_version_asks_to_come_back(door: HttpDoor) -> None:
    response = door(rejection())
    assert response["statusCode"] == 503
    assert problem(response)["error"] == "TokenUnavailable"
    assert problem(response)["retry_after"] == 2
    assert response["headers"]["Retry-After"] == "2"
    assert door.line["outcome"] == "unavailable"
    assert door.line["rejected_version"] == VERSION
    assert door.counter.shelf.started == [{"rejected_version": VERSION}]


def test_a_body_in_base64(door: HttpDoor) -> None:
    body = base64.b64encode(json.dumps({"version": NEWER}).encode()).decode()
    assert door(http_event("POST", "/token/rejections", body=body, isBase64Encoded=True))["statusCode"] == 200


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"body": ""},
        {"body": None},
        {"body": "not JSON"},
        {"body": "{}"},
        {"body": '{"version": 5}'},
        {"body": '{"version": "v", "more": 1}'},
        {"body": '{"version": "v"}' + " " * doors.MAX_BODY},
        {"body": "[" * 4000},
        {"body": "***", "isBase64Encoded": True},
        {"body": "/w==", "isBase64Encoded": True},
        {"body": '{"version": "v"}', "isBase64Encoded": True},
    ],
)
def test_a_wrong_rejection_is_a_400(door: HttpDoor, fields: dict[str, Any]) -> None:
    response = door(http_event("POST", "/token/rejections", **fields))
    assert response["statusCode"] == 400
    assert problem(response)["error"] == "InvalidRequest"
    assert door.line["outcome"] == "invalid"
    assert door.counter.shelf.started == []


def test_a_wish_for_a_longer_life() -> None:
    door = HttpDoor(expiring(DAY))
    response = door(http_event(queryStringParameters={"min_seconds": str(7 * 86_400)}))
    assert response["statusCode"] == 200
    assert "Too short-lived" in door.line["warning"]


@pytest.mark.parametrize(
    ("method", "path", "status", "more"),
    [
        *(
            ("GET", "/token", 400, query)
            for query in (
                {"min_seconds": "soon"},
                {"min_seconds": ""},
                {"rejected_version": "v"},
                {"min_seconds": "5", "x": "y"},
            )
        ),
        ("POST", "/token/rejections", 400, {"min_seconds": "5"}),
        *(
            ("GET", path, 404, {})
            for path in (
                "/",
                "",
                "/token/",
                "/tokens",
                "/TOKEN",
                "//token",
                "/token/rejections/x",
                "/..//token",
            )
        ),
        *((method, "/token", 405, {"Allow": "GET"}) for method in ("POST", "HEAD", "DELETE", "get")),
        ("GET", "/token/rejections", 405, {"Allow": "POST"}),
    ],
)
def test_a_wrong_query_path_or_method_has_its_status(
    door: HttpDoor, method: str, path: str, status: int, more: dict[str, str]
) -> None:
    """`more` is the query of a 400, and the headers of a 405."""
    query = more if status == 400 else None
    response = door(http_event(method, path, body='{"version": "v"}', queryStringParameters=query))
    assert response["statusCode"] == status
    assert problem(response)["error"] == "InvalidRequest"
    assert door.line["outcome"] == "invalid"
    if status == 405:
        assert response["headers"] | more == response["headers"]


def test_a_named_stage_is_taken_off_the_path(door: HttpDoor) -> None:
    event = http_event(path="/prod/token")
    event["requestContext"]["stage"] = "prod"
    assert door(event)["statusCode"] == 200


@pytest.mark.parametrize("caller", [None, "", CALLER + "\n", "x" * 3000, CALLER + "x/y"])
def test_a_caller_who_is_not_listed_is_a_403(door: HttpDoor, caller: object) -> None:
    response = door(http_event(caller=caller))
    assert response["statusCode"] == 403
    assert problem(response)["error"] == "CallerNotAllowed"
    assert door.line["outcome"] == "denied"
    assert door.counter.shelf.reads == 0


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"authorizer": None},
        {"authorizer": {"iam": None}},
        {"authorizer": {"iam": []}},
        {"authorizer": {"lambda": {"userArn": CALLER}}},
        {"authorizer": {"jwt": {"claims": {"userArn": CALLER}}}},
        {"identity": {"userArn": CALLER}},
        {"userArn": CALLER},
    ],
)
def test_an_identity_that_aws_did_not_fill_in_is_a_403(door: HttpDoor, context: dict[str, Any]) -> None:
    event = http_event(
        headers={"x-amzn-iam-userarn": CALLER, "x-forwarded-user": CALLER},
        queryStringParameters={"userArn": CALLER},
        body=json.dumps({"userArn": CALLER}),
        authorizer={"iam": {"userArn": CALLER}},
    )
    event["requestContext"] = {"http": {"method": "GET"}, "stage": "$default", **context}
    assert door(event)["statusCode"] == 403
    assert door.line["outcome"] == "denied"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/token"), ("DELETE", "/nowhere"), ("POST", "/token/rejections")]
)
def test_who_is_not_listed_learns_nothing_about_paths_and_starts_nothing(
    door: HttpDoor, method: str, path: str
) -> None:
    body = json.dumps({"version": VERSION})
    assert door(http_event(method, path, caller=CALLER + "x/y", body=body))["statusCode"] == 403
    assert door.counter.shelf.started == []


@pytest.mark.parametrize(
    ("holds", "status", "error", "retry_after"),
    [
        (None, 503, "TokenUnavailable", 2),
        (StoreUnavailable("x", retry_after=7), 503, "StoreUnavailable", 7),
        (StoreUnavailable("x", retry_after=0), 503, "StoreUnavailable", 0),
        (StoreUnavailable("x"), 503, "StoreUnavailable", 5),
        (ConfigurationError("x"), 500, "ConfigurationError", None),
    ],
)
def test_an_error_is_a_problem_document(holds: Any, status: int, error: str, retry_after: int | None) -> None:
    door = HttpDoor(holds)
    response = door(http_event())
    document = problem(response)
    assert (response["statusCode"], document["error"]) == (status, error)
    assert document.get("retry_after") == retry_after
    assert response["headers"].get("Retry-After") == (None if retry_after is None else str(retry_after))
    assert door.line["error"] == error


# Direct --------------------------------------------------------------------------------------------------


def test_a_token_by_direct_invoke() -> None:
    audit: list[AuditEvent] = []
    answer = doors.direct({}, Counter(token()).vendor, audit.append)
    assert answer["access_token"] == SECRET
    given = {"version": VERSION, "fingerprint": token().fingerprint, "cache_hit": False}
    assert audit == [AuditEvent(Door.DIRECT, Outcome.HANDED_OUT, **given)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "holds", "error", "fields", "outcome"),
    [
        ({"x": 1}, token(), InvalidRequest, {}, "invalid"),
        ([], token(), InvalidRequest, {}, "invalid"),
        ({}, None, TokenUnavailable, {"retry_after": 2}, "unavailable"),
        (
            {"rejected_version": VERSION},
            aged(0 * SECOND),
            TokenUnavailable,
            {"retry_after": 60},
            "unavailable",
        ),
        ({}, ConfigurationError("x"), ConfigurationError, {}, "unavailable"),
    ],
)
def test_an_error_of_a_direct_invoke_is_its_type_with_json_in_it_and_one_audit_event(
    event: object, holds: Any, error: type[Exception], fields: dict[str, Any], outcome: str
) -> None:
    audit: list[AuditEvent] = []
    with pytest.raises(error) as caught:
        doors.direct(event, Counter(holds).vendor, audit.append)
    told = json.loads(str(caught.value))
    assert told.pop("message")
    assert told == {"error": error.__name__, **fields}
    assert [line.outcome for line in audit] == [outcome]
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_no_audit_event_holds_a_token(door: HttpDoor) -> None:
    for event in (http_event(), rejection(), http_event(caller=None), http_event("PUT")):
        door(event)
    assert SECRET not in json.dumps([event.as_dict() for event in door.audit])
