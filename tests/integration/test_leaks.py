"""No secret where it must not be: the whole of stdout and stderr, metrics, answers, errors, requests.

Every secret value is a taint, in every form that a log or a protocol may give it. The functions run with each
debug switch that an operator could turn on.
"""

import base64
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from tests.integration.test_access import http_event, session
from tests.integration.test_crash_matrix import too_old
from tests.integration.test_faults import SHORT_RUN_SECONDS
from tests.integration.world import CREDENTIALS, DEBUG, STORE, TOKEN, VENDOR, Stage
from tests.kit.personr import DEFAULT_EMAIL, DEFAULT_PASSWORD, MINT_PATH, Scenario
from tests.kit.runtime import Result
from tests.kit.stand_ins.faults import aws_error


def taints(world: Stage) -> dict[str, str]:
    """What must not be seen: form → a name that can be printed."""
    secrets = {
        "password": DEFAULT_PASSWORD,
        "e-mail": DEFAULT_EMAIL,
        "credentials": f"{DEFAULT_EMAIL}:{DEFAULT_PASSWORD}",
        "AWS secret key": world.refresh.environment["AWS_SECRET_ACCESS_KEY"],
        "AWS session token": world.refresh.environment["AWS_SESSION_TOKEN"],
    }
    for number, token in enumerate(world.vendor.ever_minted):
        secrets[f"token {number}"] = token
        # A token's parts are long and random themselves.
        secrets |= {
            f"token {number}, part {i}": part for i, part in enumerate(token.split("|")) if part != "bus"
        }
    return {form: name for name, secret in secrets.items() for form in forms(secret)}


def forms(secret: str) -> set[str]:
    """The secret as plain text, JSON, URL, repr, hex and base64 in each of its three alignments write it."""
    data = secret.encode()
    aligned = {base64.b64encode(b"\0" * shift + data).decode() for shift in range(3)}
    # The first and last characters of an aligned form depend on what stands beside it.
    inner = {text[4:-4] for text in aligned if len(text) > 16}
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        quote(secret, safe=""),
        quote_plus(secret),
        data.hex(),
        *inner,
        *(text.replace("+", "-").replace("/", "_") for text in inner),
    }


def found(text: str, forbidden: dict[str, str]) -> set[str]:
    """The names of what the text gives away; never the secrets, so that a failure prints none."""
    return {name for form, name in forbidden.items() if form in text}


def assert_clean(world: Stage, text: str) -> None:
    assert found(text, taints(world)) == set()


def shown(result: Result) -> str:
    """Everything that an invoker sees of a failed or successful refresh."""
    return json.dumps([result.payload, result.error], ensure_ascii=False)


def without_its_token(result: Result) -> str:
    """What a caller sees, but for the one field that is there to hold the token."""
    payload = dict(result.payload) if isinstance(result.payload, dict) else {}
    payload.pop("access_token", None)
    if isinstance(payload.get("body"), str):
        body = json.loads(payload["body"])
        body.pop("access_token", None)
        payload["body"] = body
    return json.dumps([payload, result.error], ensure_ascii=False)


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with Stage(environment={**DEBUG, "CACHE_SECONDS": "0"}) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_leaks(world: Stage) -> Iterator[None]:
    yield
    forbidden = taints(world)
    passed_on = [*world.lambda_service.invocations, *world.lambda_service.failed_events]
    assert found(world.logs + json.dumps([one.event for one in passed_on]), forbidden) == set()
    for upstream, request in world.wire.requests:
        # Each protocol's own place for a secret is left out, the rest is searched.
        places = {"x-amz-security-token"} if upstream != VENDOR else {"authorization"}
        headers = {name: value for name, value in request.headers.items() if name not in places}
        assert found(request.target + json.dumps(headers), forbidden) == set()
        body = found(request.body.decode("utf-8", "replace"), forbidden)
        if upstream == STORE and request.headers["x-amz-target"].endswith(".PutSecretValue"):
            assert {name for name in body if not name.startswith("token")} == set()
        else:
            assert body == set()
        if upstream == VENDOR:
            assert request.path == MINT_PATH
            assert request.headers["authorization"].startswith("Basic ")


def test_a_mint_a_renewal_and_a_hand_out(world: Stage) -> None:
    assert_clean(world, shown(world.tick()))
    world.age_token(22 * 86_400)
    assert_clean(world, shown(world.tick()))
    assert_clean(world, shown(world.tick()))
    first = world.ask()
    assert first.ok
    assert_clean(world, without_its_token(first))
    over_http = world.request(http_event(session()))
    assert over_http.payload["statusCode"] == 200
    assert_clean(world, without_its_token(over_http))


ECHOES = {
    "400": Scenario(status=400, body=json.dumps({"reason": DEFAULT_PASSWORD, "message": DEFAULT_EMAIL})),
    "500": Scenario(status=500, body=f"Authorization: {DEFAULT_EMAIL}:{DEFAULT_PASSWORD}"),
    "302": Scenario(
        status=302, body="", headers={"Location": f"https://{quote(DEFAULT_PASSWORD)}@x.example/"}
    ),
    "200": Scenario(body='{"status":"error","reason":"{token}","message":"{token}"}', took_effect=True),
    "200 broken": Scenario(body='{"response":{"token":"{token}"', took_effect=True),
    "429": Scenario(status=429, body="", headers={"Retry-After": DEFAULT_EMAIL}),
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_vendor_that_echoes_what_it_was_sent(world: Stage, name: str) -> None:
    too_old(world)
    world.vendor.always(ECHOES[name])
    result = world.refresh.invoke({}, told_seconds=SHORT_RUN_SECONDS)
    assert not result.ok
    assert_clean(world, shown(result))


@pytest.mark.parametrize("first", [1, 5, 6])
def test_a_store_that_echoes_what_it_was_sent(world: Stage, first: int) -> None:
    too_old(world)
    message = f"not allowed: {DEFAULT_PASSWORD} {world.stored_token}"
    world.wire.inject(
        aws_error("AccessDeniedException", message=message), upstream=STORE, nth=first, times=None
    )
    result = world.refresh.invoke({}, told_seconds=SHORT_RUN_SECONDS)
    assert not result.ok
    assert_clean(world, shown(result))
    world.wire.clear_faults()
    world.wire.inject(aws_error("AccessDeniedException", message=message), upstream=STORE, times=None)
    assert_clean(world, shown(world.ask()))


@pytest.mark.parametrize(
    "content",
    [
        f'{{"access_token": "{DEFAULT_PASSWORD}"',
        json.dumps({"access_token": DEFAULT_PASSWORD, "issued_at": DEFAULT_PASSWORD, "expires_at": "x"}),
        json.dumps({"access_token": [DEFAULT_PASSWORD]}),
        json.dumps({"intent": DEFAULT_PASSWORD, "started_at": DEFAULT_PASSWORD, "reason": DEFAULT_PASSWORD}),
    ],
)
def test_a_token_secret_that_somebody_filled_by_hand(world: Stage, content: str) -> None:
    world.mint_first()
    world.secrets.put(TOKEN, content, ("AWSCURRENT", "MINTING"))
    assert_clean(world, shown(world.tick()))
    # An intent is no token: then one was minted, and may be handed out.
    assert_clean(world, without_its_token(world.ask()))


@pytest.mark.parametrize(
    "content",
    [
        f'{{"password": "{DEFAULT_PASSWORD}"',
        json.dumps({"email": f"{DEFAULT_EMAIL}:x", "password": DEFAULT_PASSWORD}),
        json.dumps({"email": DEFAULT_EMAIL, "password": f"{DEFAULT_PASSWORD}\n"}),
        json.dumps({DEFAULT_EMAIL: DEFAULT_PASSWORD}),
        json.dumps([DEFAULT_EMAIL, DEFAULT_PASSWORD]),
    ],
)
def test_credentials_that_cannot_be_used(world: Stage, content: str) -> None:
    world.secrets.put(CREDENTIALS, content)
    assert_clean(world, shown(world.tick()))


def _rejection(body: str) -> dict[str, Any]:
    event = http_event(session(), rawPath="/token/rejections", body=body)
    event["requestContext"]["http"]["method"] = "POST"
    return event


CONFUSED: dict[str, Callable[[str], dict[str, Any]]] = {
    # Somebody sends the token where its version belongs, or anywhere else.
    "rejected_version": lambda token: {"rejected_version": token},
    "unknown field": lambda token: {token: 1},
    "unknown field's value": lambda token: {"token": token},
    "min_seconds": lambda token: {"min_seconds": token},
    "HTTP version": lambda token: _rejection(json.dumps({"version": token})),
    "HTTP body": _rejection,
    "HTTP field": lambda token: _rejection(json.dumps({token: token})),
    "HTTP query": lambda token: http_event(session(), queryStringParameters={token: token}),
    "HTTP min_seconds": lambda token: http_event(session(), queryStringParameters={"min_seconds": token}),
    "HTTP path": lambda token: http_event(session(), rawPath=f"/token/{token}"),
    "HTTP If-None-Match": lambda token: http_event(session(), headers={"if-none-match": f'"{token}"'}),
    "HTTP bearer": lambda token: http_event(None, headers={"authorization": f"Bearer {token}"}),
}


@pytest.mark.parametrize("name", CONFUSED)
def test_a_caller_that_sends_the_token_where_it_does_not_belong(world: Stage, name: str) -> None:
    world.mint_first()
    token = world.stored_token or ""
    result = (world.request if name.startswith("HTTP") else world.vend.invoke)(CONFUSED[name](token))
    assert_clean(world, without_its_token(result))


@pytest.mark.parametrize("field", ["id", "scheduled_time", "rejected_version", "force", "token"])
def test_an_operator_that_sends_the_token_where_it_does_not_belong(world: Stage, field: str) -> None:
    world.mint_first()
    result = world.refresh.invoke({field: world.stored_token})
    assert_clean(world, shown(result))


def test_a_process_that_is_killed_or_breaks_dumps_nothing(world: Stage) -> None:
    too_old(world)
    world.vendor.always(Scenario(hang=True))
    assert not world.refresh.invoke({}, timeout_seconds=1.0).ok
    world.vendor.reset_script()


def test_libraries_at_debug_level_in_this_process_write_no_secret(
    world: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they would write of whole requests is kept down by the telemetry module, whatever the root says."""
    world.mint_first()
    world.age_token(22 * 86_400)
    for name, value in world.refresh.environment.items():
        if name not in ("PATH", "LANG", "TZ", *DEBUG):
            monkeypatch.setenv(name, value)
    import token_vending.telemetry  # noqa: F401, PLC0415 - for its effect
    from token_vending.requests import RefreshRequest  # noqa: PLC0415
    from token_vending.wiring import build_refresher  # noqa: PLC0415

    caplog.set_level(logging.DEBUG)
    report = build_refresher().run(RefreshRequest.parse({}, default_id="in-process"), lambda: 30.0)
    assert report.outcome == "refreshed"
    assert_clean(world, repr(report) + str(report))
    assert_clean(world, caplog.text)
    # It would be seen if it were written.
    logging.getLogger("canary").debug(world.stored_token)
    assert found(caplog.text, taints(world)) != set()
