"""The doctor's checks against answers of AWS that no emulator gives."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from token_vending_ops import doctor
from token_vending_ops.deployed import DeployedStack, Parts
from token_vending_ops.findings import CRITICAL, OK, WARNING, Finding, Severity
from token_vending_ops.policies import grants_of

NOW = datetime(2026, 11, 24, tzinfo=UTC)
REGION, ACCOUNT, PARTNER = "eu-west-1", "123456789012", "210987654321"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"
URL = "https://abc.lambda-url.eu-west-1.on.aws/"
OTHER_URL = "https://another.lambda-url.eu-west-1.on.aws/"
type Answers = list[tuple[str, dict[str, Any], dict[str, Any]]]


class Account(DeployedStack):
    """A stack whose services answer what a test says, in that order, checked against AWS's own models."""

    def __init__(self, **parameters: str) -> None:
        self.name, self.status = "tokens", "CREATE_COMPLETE"
        self.parameters = Parts({"SchedulePeriodSeconds": "900", "UrlDoor": "true", **parameters})
        self.resources = Parts(
            AlarmTopic=f"arn:aws:sns:{REGION}:{ACCOUNT}:topic",
            EncryptionKey="key",
            **{name: f"tokens-{name}" for name in ("no-tick", "token-trouble")},
        )
        self.outputs = Parts(
            VendFunctionName="vend",
            RefreshFunctionName="refresh",
            VendFunctionArn=f"{FUNCTION}:vend:live",
            VendUrl=URL,
            CallerPolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/direct",
            UrlCallerPolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/over-http",
            TokenSecretArn="arn:aws:secretsmanager:::token",
            CredentialsSecretArn="arn:aws:secretsmanager:::credentials",
        )
        self._clients: dict[str, Any] = {}
        self.client = self._get  # type: ignore[assignment]

    def _get(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(service, region_name=REGION)  # type: ignore[call-overload]
        return self._clients[service]

    def answers(self, service: str, answers: Answers) -> None:
        stubber = Stubber(self._get(service))
        for operation, answer, expected in answers:
            if "error" in answer:
                stubber.add_client_error(operation, answer["error"], expected_params=expected)
            else:
                stubber.add_response(operation, answer, expected)
        stubber.activate()

    def look(self, check: str) -> list[Finding]:
        return list(doctor.CHECKS[check](self, NOW))


# The last tick ------------------------------------------------------------------------------------------

LOG = "/aws/lambda/tokens/refresh"
SCHEDULE = {
    "State": "ENABLED",
    "ScheduleExpression": "rate(15 minutes)",
    "Target": {"Arn": f"{FUNCTION}:refresh:live", "RoleArn": "arn:aws:iam::1:role/schedule"},
}


def minutes_ago(minutes: int) -> int:
    return int((NOW - timedelta(minutes=minutes)).timestamp() * 1000)


NO_LINE: dict[str, Any] = {"events": []}
# A stream's last event is up to an hour behind.
FRESH = {"logStreamName": "x", "lastEventTimestamp": minutes_ago(0)}


@pytest.mark.parametrize(
    ("pages", "streams", "finding"),
    [
        (
            [
                {**NO_LINE, "nextToken": "1"},
                {"events": [{"timestamp": minutes_ago(31), "message": "{}"}], "nextToken": "2"},
                {"events": [{"timestamp": minutes_ago(16), "message": "{}"}]},
            ],
            None,
            (OK, "16 minutes ago"),
        ),
        ([NO_LINE], [FRESH], (CRITICAL, "more than 45 minutes ago")),
        ([NO_LINE], [], (WARNING, "the refresh function has never run")),
    ],
)
def test_the_last_tick_is_the_newest_line_of_the_log(
    pages: list[dict[str, Any]], streams: list[dict[str, Any]] | None, finding: tuple[Severity, str]
) -> None:
    stack = Account()
    stack.resources["Schedule"] = "schedule"
    stack.answers("scheduler", [("get_schedule", SCHEDULE, {"Name": "schedule"})])
    window = {"logGroupName": LOG, "startTime": minutes_ago(45)}
    answers: Answers = [
        ("filter_log_events", page, window | ({"nextToken": ANY} if number else {}))
        for number, page in enumerate(pages)
    ]
    if streams is not None:
        answers.append(("describe_log_streams", {"logStreams": streams}, {"logGroupName": LOG, "limit": 1}))
    stack.answers("logs", answers)
    _, last = stack.look("schedule")
    assert (last.check, last.severity, last.saw) == ("last tick", *finding)


# Alarms -------------------------------------------------------------------------------------------------


def test_a_composite_alarm_is_seen() -> None:
    """CloudWatch leaves composites out of its answer unless they are asked for."""
    stack = Account()
    asked = {
        "StateValue": "ALARM",
        "AlarmNamePrefix": "tokens-",
        "AlarmTypes": ["MetricAlarm", "CompositeAlarm"],
    }
    ringing = {
        "MetricAlarms": [{"AlarmName": "tokens-no-tick"}, {"AlarmName": "tokens-of-another-stack"}],
        "CompositeAlarms": [{"AlarmName": "tokens-token-trouble"}],
    }
    stack.answers("cloudwatch", [("describe_alarms", ringing, asked)])
    stack.answers("sns", [("list_subscriptions_by_topic", {"Subscriptions": []}, {"TopicArn": ANY})])
    assert [(found.severity, found.saw) for found in stack.look("alarms")[:2]] == [
        (CRITICAL, f"tokens-{name} is in ALARM: docs/operations.md#{name}")
        for name in ("no-tick", "token-trouble")
    ]


# Doors --------------------------------------------------------------------------------------------------


def statement(*actions: str, alias: str = "", principal: Any = None, **more: Any) -> dict[str, Any]:
    said = {"Sid": "s", "Effect": "Allow", "Action": list(actions), "Resource": f"{FUNCTION}:vend:{alias}"}
    return said | ({} if principal is None else {"Principal": principal}) | more


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


PARTNERS = {"AWS": f"arn:aws:iam::{PARTNER}:root"}
INVOKE, INVOKE_URL = "lambda:InvokeFunction", "lambda:InvokeFunctionUrl"
NO_POLICY = {"error": "ResourceNotFoundException"}
OWN_URL = {
    "FunctionUrl": URL,
    "FunctionArn": f"{FUNCTION}:vend:url",
    "CreationTime": "",
    "LastModifiedTime": "",
    "AuthType": "AWS_IAM",
}


def at_the_doors(
    direct: dict[str, Any] | None = None,
    over_http: dict[str, Any] | None = None,
    live: dict[str, Any] | None = None,
    urls: tuple[dict[str, Any], ...] = (OWN_URL,),
    **parameters: str,
) -> list[Finding]:
    stack = Account(**parameters)
    documents = {"direct": direct or statement(INVOKE, alias="live")}
    if parameters.get("UrlDoor") != "false":
        documents["over-http"] = over_http or statement(INVOKE, INVOKE_URL, alias="url")
    functions: Answers = [
        ("list_function_url_configs", {"FunctionUrlConfigs": list(urls)}, {"FunctionName": "vend"})
    ]
    managed: Answers = []
    for name, said in documents.items():
        arn = {"PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/{name}"}
        managed.append(("get_policy", {"Policy": {"DefaultVersionId": "v3"}}, arn))
        version = {"PolicyVersion": {"Document": document(said)}}
        managed.append(("get_policy_version", version, {**arn, "VersionId": "v3"}))
        alias = "live" if name == "direct" else "url"
        granted = {"Policy": document(live)} if live and alias == "live" else NO_POLICY
        functions.append(("get_policy", granted, {"FunctionName": "vend", "Qualifier": alias}))
    stack.answers("iam", managed)
    stack.answers("lambda", functions)
    return stack.look("permissions")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, None),
        ({"urls": (), "UrlDoor": "false"}, None),
        (
            {"direct": statement(INVOKE, INVOKE_URL, alias="live")},
            f"{INVOKE_URL} on {FUNCTION}:vend:live, too",
        ),
        ({"direct": statement("lambda:*", alias="live")}, "allows lambda:*"),
        ({"over_http": statement(INVOKE_URL, alias="url")}, f"URL caller policy lacks {INVOKE}"),
        ({"over_http": statement(INVOKE, INVOKE_URL, alias="live")}, "lacks"),
        ({"urls": ({**OWN_URL, "AuthType": "NONE"},)}, "open to everybody"),
        ({"urls": (OWN_URL, {**OWN_URL, "FunctionUrl": OTHER_URL})}, f"{OTHER_URL} is none of the stack's"),
        ({"urls": (OWN_URL,), "UrlDoor": "false"}, f"{URL} is none of the stack's"),
        ({"urls": ()}, "the URL is gone"),
        (
            {"live": statement(INVOKE, alias="live", principal=PARTNERS), "CallerAccountIds": PARTNER},
            f"account {PARTNER} (URL) lacks {INVOKE} and lacks {INVOKE_URL}",
        ),
    ],
)
def test_a_door_that_is_not_as_deployed_is_critical(changed: dict[str, Any], says: str | None) -> None:
    findings = at_the_doors(**changed)
    doors = ["the direct caller policy", "the URL caller policy"][: 1 if "UrlDoor" in changed else 2]
    if says is None:
        assert [f.saw for f in findings] == [f"{door} allows what it should" for door in doors]
    complaints = [f for f in findings if f.severity is not OK]
    assert [f.severity for f in complaints] == [CRITICAL] * (says is not None)
    assert all(says in f.saw for f in complaints if says is not None)


# Grants to others ---------------------------------------------------------------------------------------


def given(
    policies: Mapping[str, dict[str, Any]] | None = None,
    secret: dict[str, Any] | None = None,
    key: dict[str, Any] | None = None,
    destination: str | None = None,
    **parameters: str,
) -> list[Finding]:
    """`policies` by function and alias: "vend:live"."""
    stack = Account(**parameters)
    functions: Answers = []
    for place in ("vend", "vend:live", "vend:url", "refresh", "refresh:live"):
        name, _, alias = place.partition(":")
        said = (policies or {}).get(place)
        answer = NO_POLICY if said is None else {"Policy": document(said)}
        which = {"FunctionName": name} | ({"Qualifier": alias} if alias else {})
        functions.append(("get_policy", answer, which))
    for name in ("vend", "refresh"):
        config = {
            "FunctionArn": f"{FUNCTION}:{name}:live",
            "DestinationConfig": {"OnSuccess": {"Destination": destination}},
        }
        configs = [config] if destination and name in destination else []
        configured = {"FunctionEventInvokeConfigs": configs}
        functions.append(("list_function_event_invoke_configs", configured, {"FunctionName": name}))
    stack.answers("lambda", functions)
    token_policy = {} if secret is None else {"ResourcePolicy": document(secret)}
    stack.answers(
        "secretsmanager",
        [
            ("get_resource_policy", token_policy, {"SecretId": "arn:aws:secretsmanager:::token"}),
            ("get_resource_policy", {}, {"SecretId": "arn:aws:secretsmanager:::credentials"}),
        ],
    )
    own = statement("kms:*", principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    key_policy = document(own, key) if key else document(own)
    stack.answers(
        "kms", [("get_key_policy", {"Policy": key_policy}, {"KeyId": "key", "PolicyName": "default"})]
    )
    return stack.look("grants")


GIVEN_TO_PARTNER = statement(INVOKE, principal=PARTNERS)
GIVEN_TO_S3 = statement(INVOKE, principal={"Service": "s3.amazonaws.com"})


def test_what_the_template_gives_is_no_finding() -> None:
    policies = {"vend:live": GIVEN_TO_PARTNER, "vend:url": statement(INVOKE_URL, principal=PARTNER)}
    assert [f.severity for f in given(policies=policies, CallerAccountIds=PARTNER)] == [OK]


READ = "secretsmanager:GetSecretValue"
OF_ONE_COMPANY = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
EVERYBODY: tuple[Any, ...] = ("*", {"AWS": "*"}, {"AWS": ["arn:aws:iam::1:root", "*"]})


@pytest.mark.parametrize("principal", EVERYBODY)
@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("vend", "vend"),
        ("vend:live", "vend --qualifier live"),
        ("vend:url", "vend --qualifier url"),
        ("refresh:live", "refresh --qualifier live"),
    ],
)
def test_a_grant_to_everybody_is_critical(place: str, options: str, principal: Any) -> None:
    condition = {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}
    findings = given(policies={place: statement(INVOKE, principal=principal, Condition=condition)})
    assert [(f.saw, f.mend) for f in findings if f.severity is CRITICAL] == [
        (
            f"everybody may {INVOKE} on {place}; the template says nothing of it",
            f"aws lambda remove-permission --function-name {options} --statement-id s",
        )
    ]


@pytest.mark.parametrize(
    ("changed", "severity", "says"),
    [
        ({"policies": {"vend:live": GIVEN_TO_PARTNER}}, WARNING, f"{PARTNER}:root may"),
        ({"policies": {"vend:live": GIVEN_TO_S3}}, WARNING, "s3.amazonaws.com may"),
        ({"secret": statement(READ, principal="*")}, CRITICAL, "GetSecretValue on TokenSecret"),
        ({"secret": statement(READ, principal="*", Condition=OF_ONE_COMPANY)}, WARNING, "everybody may"),
        ({"key": statement("kms:Decrypt", principal="*")}, CRITICAL, "kms:Decrypt on EncryptionKey"),
        (
            {"destination": "arn:aws:sqs:::queue-of-vend"},
            CRITICAL,
            "each with the token, are sent to arn:aws",
        ),
        ({"destination": "arn:aws:sqs:::queue-of-refresh"}, WARNING, "its reports are sent to"),
    ],
)
def test_a_grant_that_the_template_does_not_give(
    changed: dict[str, Any], severity: Severity, says: str
) -> None:
    (finding,) = given(**changed)
    assert finding.severity is severity
    assert says in finding.saw
    assert finding.mend


def test_a_deny_gives_nothing_and_its_opposites_are_read_as_what_they_allow() -> None:
    assert grants_of(document({"Effect": "Deny", "Principal": "*", "Action": "lambda:*"})) == []
    everything_but = {"Effect": "Allow", "NotPrincipal": {"AWS": "1"}, "NotAction": "lambda:AddPermission"}
    (grant,) = grants_of(document(everything_but))
    assert (grant.open, grant.actions) == (True, frozenset("*"))
