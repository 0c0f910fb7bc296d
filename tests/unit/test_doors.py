"""The two doors: what comes in, what goes out, and the one audit event that stays."""

import base64
import json
from typing import Any

import pytest

from tests.unit.made_up import DAY, SECRET, VERSION, expiring, token
from tests.unit.test_handing_out import NEWER, Counter
from token_vending import doors
from token_vending.audit import AuditEvent, Door, Outcome
from token_vending.callers import AllowedCallers
from token_vending.errors import InvalidRequest

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


# Which door ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function", ["vend:live", "vend:1", "vend:$LATEST", "vend", "url", "url:live", "vend:curl"]
)
def test_only_the_alias_url_means_http(function: str) -> None:
    arn = "arn:aws:lambda:eu-west-1:111122223333:function:"
    assert doors.is_url(f"{arn}vend:url")
    assert not doors.is_url(arn + function)


@pytest.mark.parametrize(
    "event",
    [
        *({}, {"min_seconds": 5}, [], None, "x"),
        *(http_event() | {"requestContext": context} for context in (None, {}, {"http": "GET /token"})),
    ],
)
def test_a_direct_event_through_the_alias_of_the_url_is_refused(door: HttpDoor, event: Any) -> None:
    with pytest.raises(InvalidRequest, match="alias live"):
        door(event)
    assert door.line["outcome"] == "invalid"
    assert door.counter.shelf.reads == 0


# HTTP ----------------------------------------------------------------------------------------------------


def test_get_token_over_http_answers_with_the_token_and_audits_who_got_which(door: HttpDoor) -> None:
    response = door(http_event())
    assert response["statusCode"] == 200
    assert json.loads(response["body"])["access_token"] == SECRET
    assert response["headers"] == {
        "Cache-Control": "no-store",
        "ETag": f'"{VERSION}"',
        "Content-Type": "application/json",
    }
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
    ["*", *(tag % VERSION for tag in ('"%s"', 'W/"%s"', '"other", "%s"', '"other",W/"%s"', ' "%s" '))],
)
@pytest.mark.parametrize("name", ["if-none-match", "If-None-Match"])
def test_a_caller_who_has_this_version_is_told_so(door: HttpDoor, name: str, tags: str) -> None:
    response = door(http_event(headers={name: tags}))
    assert response["statusCode"] == 304
    assert "body" not in response
    assert response["headers"]["ETag"] == f'"{VERSION}"'
    assert door.line["outcome"] == "not_modified"


@pytest.mark.parametrize(
    "tags", ["", VERSION, '"other"', f'"{VERSION}x"', f'"{VERSION}', "W/*", f'*, "{NEWER}"']
)
def test_a_caller_who_has_another_one_gets_the_token(door: HttpDoor, tags: str) -> None:
    assert door(http_event(headers={"if-none-match": tags}))["statusCode"] == 200


IN_BASE64 = base64.b64encode(json.dumps({"version": NEWER}).encode()).decode()


@pytest.mark.parametrize(
    "fields", [{}, {"headers": {"if-none-match": "*"}}, {"body": IN_BASE64, "isBase64Encoded": True}]
)
def test_a_rejection_of_an_old_version_gets_the_new_one(door: HttpDoor, fields: dict[str, Any]) -> None:
    response = door(rejection(NEWER) | fields)
    assert response["statusCode"] == 200
    assert json.loads(response["body"])["version"] == VERSION
    assert door.line["rejected_version"] == NEWER


@pytest.mark.parametrize(
    "fields",
    [
        {},
        *({"body": body} for body in (None, "", "not JSON", "[]", "null", "{}", "[" * 4000)),
        *({"body": json.dumps(body)} for body in ({"version": 5}, {"version": ""}, {"version": "v", "x": 1})),
        {"body": '{"version": "v"}' + " " * doors.MAX_BODY},
        *({"body": body, "isBase64Encoded": True} for body in ("***", "/w==", '{"version": "v"}')),
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


QUERY = {"min_seconds": "5"}
WRONG_SECONDS = ("soon", "", "-1", "1.5", "1e3", " 1", "٣", "9" * 400, "0x10", "1_000", "99999999999")
PATHS = ("/", "", "/token/", "/tokens", "/TOKEN", "//token", "/token/rejections/x", "/..//token")


@pytest.mark.parametrize(
    ("method", "path", "status", "more"),
    [
        *(("GET", "/token", 400, {"min_seconds": text}) for text in WRONG_SECONDS),
        *(("GET", "/token", 400, query) for query in ({"rejected_version": "v"}, {**QUERY, "x": "y"})),
        ("POST", "/token/rejections", 400, QUERY),
        *(("GET", path, 404, {}) for path in PATHS),
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


@pytest.mark.parametrize("caller", [None, "", CALLER + "\n", "made up\n" * 300, CALLER + "x/y"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/token"), ("DELETE", "/nowhere"), ("POST", "/token/rejections")]
)
def test_a_caller_who_is_not_listed_gets_403_whatever_the_path_and_starts_nothing(
    door: HttpDoor, method: str, path: str, caller: str | None
) -> None:
    response = door(http_event(method, path, caller=caller, body=json.dumps({"version": VERSION})))
    assert response["statusCode"] == 403
    assert problem(response)["error"] == "CallerNotAllowed"
    assert door.line["outcome"] == "denied"
    assert "made up" not in json.dumps([response, door.line])
    assert (door.counter.shelf.reads, door.counter.shelf.started) == (0, [])


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


# Direct --------------------------------------------------------------------------------------------------


def test_a_token_by_direct_invoke() -> None:
    audit: list[AuditEvent] = []
    answer = doors.direct({}, Counter(token()).vendor, audit.append)
    assert answer["access_token"] == SECRET
    given = {"version": VERSION, "fingerprint": token().fingerprint, "cache_hit": False}
    assert audit == [AuditEvent(Door.DIRECT, Outcome.HANDED_OUT, **given)]  # type: ignore[arg-type]


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
