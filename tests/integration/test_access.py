"""Each role may call of Secrets Manager what its function calls, and nothing else.

The policies as a whole are compared in tests/infrastructure/test_template.py.
"""

from typing import Any

from scripts.template import Stack
from tests.integration.test_crash_matrix import REFRESH_SCENARIOS
from tests.integration.world import Stage
from tests.kit.secrets_manager.server import ACCOUNT_ID

LISTED = f"arn:aws:iam::{ACCOUNT_ID}:role/orders-service"


def granted(role: str) -> set[tuple[str, str]]:
    """The (action, resource) pairs of Secrets Manager that it may use, in the template's names."""
    return {
        (action, resource)
        for statement in Stack().statements(role).values()
        for action in _list(statement["Action"])
        for resource in _list(statement["Resource"])
        if action.startswith("secretsmanager:")
    }


def asked(world: Stage) -> set[tuple[str, str]]:
    """The pairs that Secrets Manager was asked for."""
    names = {world.token_arn: "${TokenSecret.Id}", world.credentials_arn: "${CredentialsSecret.Id}"}
    return {(f"secretsmanager:{call.operation}", names[call.secret_id]) for call in world.secrets.calls}


def test_the_refresh_role_may_do_all_that_the_function_does_and_no_other_secrets_action(world: Stage) -> None:
    seen: set[tuple[str, str]] = set()
    for scenario in REFRESH_SCENARIOS.values():
        world.start_over()
        scenario.prepare(world)
        world.secrets.calls.clear()
        world.refresh.invoke(scenario.event(world))
        seen |= asked(world)
    assert seen == granted("RefreshRole")


def test_the_vend_role_may_do_all_that_the_function_does_and_no_other_secrets_action(world: Stage) -> None:
    version = world.mint_first()
    world.secrets.calls.clear()
    world.lambda_service.refuse("TooManyRequestsException", 429)
    world.ask(rejected_version=version)
    assert asked(world) == granted("VendRole") == {("secretsmanager:GetSecretValue", "${TokenSecret.Id}")}


def http_event(arn: str | None, **changes: Any) -> dict[str, Any]:
    identity: dict[str, Any] = {"authorizer": {"iam": {"userArn": arn}}} if arn is not None else {}
    return {
        "version": "2.0",
        "rawPath": "/token",
        "headers": {},
        "isBase64Encoded": False,
        "requestContext": {"http": {"method": "GET"}, "stage": "$default", **identity},
        **changes,
    }


def session(role: str = "orders-service") -> str:
    return f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role}/session"


def test_finding_6_nobody_rejects_in_anothers_name_by_writing_an_http_event(world: Stage) -> None:
    version = world.mint_first()
    rejection = http_event(LISTED, rawPath="/token/rejections", body=f'{{"version": "{version}"}}')
    rejection["requestContext"]["http"]["method"] = "POST"
    assert world.vend.invoke(rejection).error_type == "InvalidRequest"
    assert world.lambda_service.invocations == []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
