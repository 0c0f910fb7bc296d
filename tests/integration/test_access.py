"""What each role may do is what its function does, and the rest is denied; who may not ask over HTTP gets 403."""

import functools
from typing import Any

import pytest

from scripts.template import ACCOUNT as STACK_ACCOUNT
from scripts.template import REGION, Stack
from tests.integration.iam import Ask, allowed
from tests.integration.test_crash_matrix import REFRESH_SCENARIOS
from tests.integration.world import CREDENTIALS, TOKEN, Stage
from tests.kit.secrets_manager.server import ACCOUNT_ID

TOKEN_SECRET, CREDENTIALS_SECRET = "${TokenSecret.Id}", "${CredentialsSecret.Id}"
KEY, REFRESH_ALIAS, VEND_ALIAS, URL_ALIAS = (
    "${EncryptionKey.Arn}",
    "${RefreshFunctionAliaslive}",
    "${VendFunctionAliaslive}",
    "${VendFunctionAliasurl}",
)
VIA = f"secretsmanager.{REGION}.amazonaws.com"
OTHER_SECRET = f"arn:aws:secretsmanager:{REGION}:{STACK_ACCOUNT}:secret:payroll-AbCdEf"


@functools.cache
def stack() -> Stack:
    return Stack()


def role(name: str) -> list[dict[str, Any]]:
    return list(stack().statements(name).values())


def through_secrets_manager(action: str, secret: str) -> Ask:
    """What Secrets Manager asks of KMS in the caller's name."""
    return Ask(f"kms:{action}", KEY, {"kms:ViaService": VIA, "kms:EncryptionContext:SecretARN": secret})


# What AWS asks of IAM: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
DIRECT = [Ask("lambda:InvokeFunction", VEND_ALIAS)]
OVER_HTTP = [
    Ask("lambda:InvokeFunctionUrl", URL_ALIAS, {"lambda:FunctionUrlAuthType": "AWS_IAM"}),
    Ask("lambda:InvokeFunction", URL_ALIAS, {"lambda:InvokedViaFunctionUrl": "true"}),
]


def asks_of(world: Stage) -> set[tuple[str, str]]:
    """The (action, resource) pairs that Secrets Manager was asked for, in the template's names."""
    names = {world.token_arn: TOKEN_SECRET, world.credentials_arn: CREDENTIALS_SECRET}
    return {(f"secretsmanager:{call.operation}", names[call.secret_id]) for call in world.secrets.calls}


def test_the_refresh_role_may_do_all_that_the_function_does_and_no_other_secrets_action(world: Stage) -> None:
    asked: set[tuple[str, str]] = set()
    for scenario in REFRESH_SCENARIOS.values():
        world.start_over()
        scenario.prepare(world)
        world.secrets.calls.clear()
        world.refresh.invoke(scenario.event(world))
        asked |= asks_of(world)
    assert all(allowed(role("RefreshRole"), Ask(action, resource)) for action, resource in asked)
    granted = {
        (action, resource)
        for statement in role("RefreshRole")
        for action in _list(statement["Action"])
        for resource in _list(statement["Resource"])
        if action.startswith("secretsmanager:")
    }
    assert granted == asked, "nothing is granted that no run asks for"


def test_the_vend_role_may_do_all_that_the_function_does_and_no_other_secrets_action(world: Stage) -> None:
    version = world.mint_first()
    world.secrets.calls.clear()
    world.lambda_service.refuse("TooManyRequestsException", 429)
    world.ask(rejected_version=version)
    asked = asks_of(world)
    assert asked == {("secretsmanager:GetSecretValue", TOKEN_SECRET)}
    assert all(allowed(role("VendRole"), Ask(action, resource)) for action, resource in asked)
    assert allowed(role("VendRole"), Ask("lambda:InvokeFunction", REFRESH_ALIAS))
    assert not allowed(role("VendRole"), Ask("secretsmanager:DescribeSecret", TOKEN_SECRET))


@pytest.mark.parametrize(
    ("role_name", "ask"),
    [
        ("RefreshRole", through_secrets_manager("Decrypt", TOKEN_SECRET)),
        ("RefreshRole", through_secrets_manager("Decrypt", CREDENTIALS_SECRET)),
        ("RefreshRole", through_secrets_manager("GenerateDataKey", TOKEN_SECRET)),
        ("RefreshRole", Ask("sqs:SendMessage", "${RefreshFailureQueue.Arn}")),
        ("RefreshRole", Ask("logs:PutLogEvents", "${RefreshLogGroup.Arn}")),
        ("VendRole", through_secrets_manager("Decrypt", TOKEN_SECRET)),
        ("VendRole", Ask("logs:PutLogEvents", "${VendLogGroup.Arn}")),
        ("ScheduleRole", Ask("lambda:InvokeFunction", REFRESH_ALIAS)),
        ("ScheduleRole", Ask("sqs:SendMessage", "${ScheduleFailureQueue.Arn}")),
        *(("CallerPolicy", ask) for ask in DIRECT),
        *(("UrlCallerPolicy", ask) for ask in OVER_HTTP),
    ],
)
def test_what_is_needed_beside_the_secrets_is_allowed(role_name: str, ask: Ask) -> None:
    assert allowed(role(role_name), ask)


WRITES = ("PutSecretValue", "UpdateSecretVersionStage", "UpdateSecret", "DeleteSecret", "PutResourcePolicy")
NO_CALLERS_BUSINESS = [
    Ask("lambda:InvokeFunction", REFRESH_ALIAS),
    Ask("lambda:InvokeFunction", "${VendFunction}"),
    *(
        Ask("lambda:InvokeFunctionUrl", alias, context)
        for alias in (VEND_ALIAS, URL_ALIAS)
        for context in ({}, {"lambda:FunctionUrlAuthType": "NONE"})
    ),
    Ask("lambda:GetFunction", VEND_ALIAS),
    Ask("secretsmanager:GetSecretValue", TOKEN_SECRET),
    Ask("secretsmanager:GetSecretValue", CREDENTIALS_SECRET),
    through_secrets_manager("Decrypt", TOKEN_SECRET),
]
FORBIDDEN: dict[str, list[Ask]] = {
    "VendRole": [
        Ask("secretsmanager:GetSecretValue", CREDENTIALS_SECRET),
        Ask("secretsmanager:DescribeSecret", CREDENTIALS_SECRET),
        Ask("secretsmanager:GetSecretValue", OTHER_SECRET),
        Ask("secretsmanager:ListSecrets", "*"),
        *(Ask(f"secretsmanager:{action}", TOKEN_SECRET) for action in WRITES),
        through_secrets_manager("Decrypt", CREDENTIALS_SECRET),
        through_secrets_manager("GenerateDataKey", TOKEN_SECRET),
        Ask("kms:Decrypt", KEY),
        Ask("kms:Decrypt", KEY, {"kms:ViaService": VIA}),
        Ask("kms:Decrypt", KEY, {"kms:EncryptionContext:SecretARN": TOKEN_SECRET}),
        Ask("lambda:InvokeFunction", VEND_ALIAS),
        Ask("lambda:InvokeFunction", "${RefreshFunction}"),
        Ask("lambda:UpdateFunctionConfiguration", REFRESH_ALIAS),
        Ask("sqs:SendMessage", "${RefreshFailureQueue.Arn}"),
        Ask("logs:PutLogEvents", "${RefreshLogGroup.Arn}"),
        Ask("logs:CreateLogGroup", "${VendLogGroup.Arn}"),
    ],
    "RefreshRole": [
        Ask("secretsmanager:GetSecretValue", OTHER_SECRET),
        Ask("secretsmanager:BatchGetSecretValue", "*"),
        Ask("secretsmanager:ListSecrets", "*"),
        *(Ask(f"secretsmanager:{action}", CREDENTIALS_SECRET) for action in WRITES),
        *(Ask(f"secretsmanager:{action}", TOKEN_SECRET) for action in WRITES[2:]),
        through_secrets_manager("Decrypt", OTHER_SECRET),
        through_secrets_manager("GenerateDataKey", CREDENTIALS_SECRET),
        Ask("kms:Decrypt", KEY),
        Ask("kms:Encrypt", KEY, {"kms:ViaService": VIA, "kms:EncryptionContext:SecretARN": TOKEN_SECRET}),
        Ask("kms:ScheduleKeyDeletion", KEY),
        Ask("lambda:InvokeFunction", REFRESH_ALIAS),
        Ask("lambda:InvokeFunction", VEND_ALIAS),
        Ask("sqs:ReceiveMessage", "${RefreshFailureQueue.Arn}"),
        Ask("logs:PutLogEvents", "${VendLogGroup.Arn}"),
        Ask("iam:PassRole", "*"),
    ],
    "ScheduleRole": [
        Ask("lambda:InvokeFunction", VEND_ALIAS),
        Ask("secretsmanager:GetSecretValue", TOKEN_SECRET),
        Ask("secretsmanager:GetSecretValue", CREDENTIALS_SECRET),
        Ask("sqs:SendMessage", "${RefreshFailureQueue.Arn}"),
    ],
    "CallerPolicy": [*NO_CALLERS_BUSINESS, *OVER_HTTP],
    "UrlCallerPolicy": [
        *NO_CALLERS_BUSINESS,
        *DIRECT,
        Ask("lambda:InvokeFunction", URL_ALIAS),
        Ask("lambda:InvokeFunction", URL_ALIAS, {"lambda:InvokedViaFunctionUrl": "false"}),
    ],
}


@pytest.mark.parametrize(
    ("role_name", "ask"),
    [(name, ask) for name, asks in FORBIDDEN.items() for ask in asks],
    ids=lambda value: f"{value.action} {value.resource}" if isinstance(value, Ask) else value,
)
def test_everything_else_is_denied(role_name: str, ask: Ask) -> None:
    assert not allowed(role(role_name), ask)


def test_a_role_without_the_callers_policy_may_not_ask() -> None:
    assert not allowed([], Ask("lambda:InvokeFunction", VEND_ALIAS))


def test_finding_5_no_policy_for_the_url_opens_the_direct_door_too() -> None:
    """Else whoever gets 403 over HTTP gets the token by invoking."""
    signed = {"lambda:FunctionUrlAuthType": "AWS_IAM"}
    opens = {
        name: {
            alias: [
                allowed(role(name), Ask("lambda:InvokeFunctionUrl", alias, signed)),
                allowed(role(name), Ask("lambda:InvokeFunction", alias)),
            ]
            for alias in (VEND_ALIAS, URL_ALIAS)
        }
        for name in stack().of_type("AWS::IAM::ManagedPolicy")
    }
    assert opens == {
        "CallerPolicy": {VEND_ALIAS: [False, True], URL_ALIAS: [False, False]},
        "UrlCallerPolicy": {VEND_ALIAS: [False, False], URL_ALIAS: [True, False]},
    }


def test_the_evaluation_denies_by_default_and_by_an_explicit_deny() -> None:
    allow = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::mine/*"}
    ask = Ask("s3:GetObject", "arn:aws:s3:::mine/a")
    assert allowed([allow], ask)
    assert not allowed([allow], Ask("s3:PutObject", ask.resource))
    assert not allowed([allow], Ask(ask.action, "arn:aws:s3:::yours/a"))
    assert not allowed([allow, {**allow, "Effect": "Deny"}], ask)
    conditional = {**allow, "Condition": {"StringEquals": {"aws:Via": "x"}}}
    assert not allowed([conditional], ask)
    assert allowed([conditional], Ask(ask.action, ask.resource, {"aws:Via": "x"}))


# --- over HTTP ----------------------------------------------------------------------------------------------------

LISTED = f"arn:aws:iam::{ACCOUNT_ID}:role/orders-service"


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


def session(account: str = ACCOUNT_ID, role: str = "orders-service", partition: str = "aws") -> str:
    return f"arn:{partition}:sts::{account}:assumed-role/{role}/session"


@pytest.mark.parametrize("caller", [session(role="reports-service"), None])
def test_who_is_not_listed_gets_403_and_an_audit_line(world: Stage, caller: str | None) -> None:
    world.mint_first()
    before = len(_audits(world))
    answered = world.request(http_event(caller)).payload
    assert answered["statusCode"] == 403, answered
    assert (world.stored_token or "?") not in str(answered)
    (line,) = _audits(world)[before:]
    assert line["outcome"] == "denied"
    assert line["error"] == "CallerNotAllowed"


@pytest.mark.parametrize("qualifier", ["live", "1", None])
def test_finding_6_nobody_rejects_or_is_denied_in_anothers_name_by_writing_an_http_event(
    world: Stage, qualifier: str | None
) -> None:
    version = world.mint_first()
    before = len(_audits(world))
    rejection = http_event(LISTED, rawPath="/token/rejections", body=f'{{"version": "{version}"}}')
    rejection["requestContext"]["http"]["method"] = "POST"
    for forged in (rejection, http_event(session(account="999999999999"))):
        assert world.vend.invoke(forged, qualifier=qualifier).error_type == "InvalidRequest"
    assert world.lambda_service.invocations == []
    lines = _audits(world)[before:]
    assert [line["outcome"] for line in lines] == ["invalid", "invalid"]
    assert [line for line in lines if "caller" in line] == []


def test_a_direct_request_through_the_alias_of_the_url_is_an_invalid_request(world: Stage) -> None:
    world.mint_first()
    assert world.request({}).error_type == "InvalidRequest"


def test_who_is_listed_gets_the_token(world: Stage) -> None:
    world.mint_first()
    for arn in (session(), LISTED):
        assert world.request(http_event(arn)).payload["statusCode"] == 200
        assert _audits(world)[-1]["caller"] == arn
    assert world.secrets.version_of(CREDENTIALS) != world.secrets.version_of(TOKEN)


def _audits(world: Stage) -> list[dict[str, Any]]:
    return [record["audit"] for record in world.vend.log_records if "audit" in record]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
