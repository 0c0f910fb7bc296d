"""What the template promises, read off the template after SAM's transform."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts import build_artifact
from scripts import template as cloudformation
from scripts.template import ACCOUNT, COMPANY, EVERYTHING, EXISTING, KEY, REGION, STACK, STANDBY, TOPIC, Stack
from token_vending import due, settings
from token_vending.callers import AllowedCallers

ISSUER_DOCUMENT = json.dumps(
    json.loads((cloudformation.TEMPLATE.parent / "examples/issuers/thetvdb-v4.json").read_text())
)
VIA_SECRETS_MANAGER = f"secretsmanager.{REGION}.amazonaws.com"

OUTPUTS = {
    "RefreshFunctionName", "VendFunctionName", "VendFunctionArn", "VendUrl", "TokenSecretArn",
    "CredentialsSecretArn", "TokenClientLayerArn", "TokenClientNodeLayerArn", "CallerPolicyArn", "AlarmTopicArn",
    "UrlCallerPolicyArn", "DashboardUrl",
}  # fmt: skip


@pytest.fixture(scope="module")
def stack() -> Stack:
    """With every parameter at its default."""
    return Stack()


@pytest.fixture(scope="module")
def full_stack() -> Stack:
    """With everything that a parameter can add."""
    return Stack({name: value for name, value in EVERYTHING.items() if name not in COMPANY})


@pytest.fixture(scope="module")
def company_stack() -> Stack:
    """Under the rules of a company: its key, topic, boundary and network."""
    return Stack(COMPANY)


CALLER_PATTERNS = [
    "arn:aws:iam::123456789012:role/payroll",
    "arn:aws:iam::123456789012:role/payroll-*",
    "arn:aws:iam::123456789012:role/teams/payroll",
    "arn:aws:iam::123456789012:role/*/payroll",
    "arn:aws:iam::123456789012:user/people/*",
    "arn:aws-cn:iam::123456789012:user/anna",
    "arn:aws-us-gov:iam::123456789012:role/payroll",
]


def allow(sid: str, action: Any, resource: Any, condition: Any = None) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
    return statement if condition is None else {**statement, "Condition": {"StringEquals": condition}}


# --------------------------------------------------------------------------------------------- the contract


def test_every_parameter_is_described_grouped_and_labelled() -> None:
    template = cloudformation.source()
    parameters = template["Parameters"]
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(parameters) == sorted(OTHER_VALUES)
    assert set(interface["ParameterLabels"]) == set(parameters)
    assert [name for name, spec in parameters.items() if not spec.get("Description")] == []


def test_every_parameter_limits_what_it_takes_says_so_and_takes_its_own_default() -> None:
    for name, spec in cloudformation.source()["Parameters"].items():
        assert spec.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}, name
        if "AllowedPattern" in spec:
            assert spec["ConstraintDescription"].startswith("must be "), name
            assert re.fullmatch(spec["AllowedPattern"], spec["Default"]), name


def test_the_outputs_of_the_contract_exist(stack: Stack) -> None:
    assert set(stack.outputs) == OUTPUTS


def test_the_credentials_secret_is_the_existing_one_where_one_is_named(
    stack: Stack, full_stack: Stack
) -> None:
    assert stack.outputs["CredentialsSecretArn"] == "${CredentialsSecret.Id}"
    assert full_stack.outputs["CredentialsSecretArn"] == EXISTING
    assert "CredentialsSecret" not in full_stack.resources
    assert json.loads(full_stack.properties("Settings")["Content"])["CredentialsSecretArn"] == EXISTING
    environment = full_stack.properties("RefreshFunction")["Environment"]["Variables"]
    assert environment["CREDENTIALS_SECRET_ID"] == EXISTING
    assert environment["STANDBY_CREDENTIALS_SECRET_ID"] == STANDBY


# ------------------------------------------------------------------------------------- what parameters take


TAKES: dict[str, tuple[list[str], list[str]]] = {
    "PersonrBaseUrl": (
        ["https://enterprise.personr.co/api/1.1/wf", "http://127.0.0.1:8080/api/1.1/wf"],
        [
            "https://enterprise.personr.co/api/1.1/wf/",
            "http://enterprise.personr.co/api/1.1/wf",
            "http://127.0.0.1.example.com/wf",
            "http://localhost.example.com/wf",
            "https://user:secret@enterprise.personr.co/wf",
            "https://enterprise.personr.co/wf?x=1",
            "",
        ],
    ),
    "Issuer": (
        ["personr", ISSUER_DOCUMENT],
        [ISSUER_DOCUMENT.replace(",", ",\n"), '{"title": "\\u0041"}', "../personr", ""],
    ),
    "IssuerUrl": (["", "https://login.example.com/oauth/token"], ["http://login.example.com/oauth/token"]),
    "MaxAgeDays": (["", "0", "364"], ["365", "-1"]),
    "ProbeUrl": (
        ["https://enterprise.personr.co/api/1.1/wf/whoami"],
        ["http://enterprise.personr.co/whoami"],
    ),
    "CredentialsSecretArn": (
        [EXISTING],
        ["hr/personr", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*"],
    ),
    "StandbyCredentialsSecretArn": ([STANDBY], []),
    "ScheduleExpression": (
        ["rate(1 minute)", "rate(15 minutes)", "cron(0/15 * * * ? *)"],
        ["at(2026-11-24T00:00:00)", "rate(0 minutes)"],
    ),
    "AllowedCallers": (
        [*CALLER_PATTERNS, ",".join(CALLER_PATTERNS)],
        [
            "arn:aws:iam::123456789012:role/teams/*",
            ", ".join(CALLER_PATTERNS),
            CALLER_PATTERNS[0] + ",*",
            "arn:aws-eu:iam::123456789012:role/payroll",
            "arn:aws:iam::*:role/payroll",
            "arn:aws:iam::123456789012:*",
            "arn:aws:iam::123456789012:root",
            "arn:aws:sts::123456789012:assumed-role/payroll/session",
            "arn:aws:iam::123456789012:role/",
            "*",
        ],
    ),
    "CallerAccountIds": (
        ["123456789012"],
        ["12345678901", "*", "123456789012, 123456789012", ",".join(["123456789012"] * 6)],
    ),
    "AlarmEmail": (["night@example.com"], ["night"]),
}
"""What a parameter takes, and what it does not."""


@pytest.mark.parametrize("parameter", TAKES)
def test_a_parameter_takes_only_what_it_can_mean(parameter: str) -> None:
    pattern = cloudformation.source()["Parameters"][parameter]["AllowedPattern"]
    taken, refused = TAKES[parameter]
    assert [value for value in taken if not re.fullmatch(pattern, value)] == []
    assert [value for value in refused if re.fullmatch(pattern, value)] == []


# ------------------------------------------------------------------------------------- what the resources are


def logged(function: str) -> dict[str, Any]:
    group = "${" + function.replace("Function", "LogGroup") + "}"
    levels = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
    logging = {"LogGroup": group, "LogFormat": "JSON", **levels}
    architecture = {"Architectures": ["arm64"], "Runtime": "python3.13", "Handler": "app.handler"}
    return {**architecture, "LoggingConfig": logging}


RETRIED = {"MaximumEventAgeInSeconds": 900}
TICK = '{"id": "<aws.scheduler.execution-id>", "scheduled_time": "<aws.scheduler.scheduled-time>"}'
PROPERTIES: dict[str, tuple[str, dict[str, Any]]] = {
    "the refresh function logs JSON into a group of its own": ("RefreshFunction", logged("RefreshFunction")),
    "the vend function logs JSON into a group of its own": ("VendFunction", logged("VendFunction")),
    "the vend function takes no snapshot unasked": ("VendFunction", {"SnapStart": {"ApplyOn": "None"}}),
    "callers invoke an alias": ("VendFunctionAliaslive", {"Name": "live"}),
    "the schedule invokes an alias": ("RefreshFunctionAliaslive", {"Name": "live"}),
    "the URL has an alias of its own": ("VendFunctionAliasurl", {"Name": "url"}),
    "the URL asks for a signature": (
        "VendFunctionUrl",
        {"TargetFunctionArn": "${VendFunction}", "Qualifier": "url", "AuthType": "AWS_IAM"},
    ),
    "a failed refresh is retried and then kept": (
        "RefreshFunctionEventInvokeConfig",
        {
            "Qualifier": "live",
            "MaximumRetryAttempts": 2,
            **RETRIED,
            "DestinationConfig": {"OnFailure": {"Destination": "${RefreshFailureQueue.Arn}"}},
        },
    ),
    "a tick has an id of its own, and is retried and then kept where it cannot be delivered": (
        "Schedule",
        {
            "ScheduleExpression": "rate(15 minutes)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": "${RefreshFunctionAliaslive}",
                "RoleArn": "${ScheduleRole.Arn}",
                "Input": TICK,
                "RetryPolicy": {"MaximumRetryAttempts": 5, **RETRIED},
                "DeadLetterConfig": {"Arn": "${ScheduleFailureQueue.Arn}"},
            },
        },
    ),
    "the key rotates": ("EncryptionKey", {"EnableKeyRotation": True}),
    **{
        f"the {queue} is encrypted and keeps its messages for a fortnight": (
            queue,
            {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 14 * 24 * 3600},
        )
        for queue in ("RefreshFailureQueue", "ScheduleFailureQueue")
    },
}


@pytest.mark.parametrize("claim", PROPERTIES)
def test_the_template_says_that(stack: Stack, claim: str) -> None:
    name, expected = PROPERTIES[claim]
    assert {key: stack.properties(name).get(key) for key in expected} == expected


def test_finding_7_concurrency_and_warm_starts_are_bought_on_demand_only(
    stack: Stack, full_stack: Stack
) -> None:
    for function, reserved in (("RefreshFunction", 1), ("VendFunction", 20)):
        assert "ReservedConcurrentExecutions" not in stack.properties(function)
        assert full_stack.properties(function)["ReservedConcurrentExecutions"] == reserved
    warm = [
        each.properties(f"VendFunctionAlias{alias}").get("ProvisionedConcurrencyConfig")
        for each in (stack, full_stack)
        for alias in ("live", "url")
    ]
    # Lambda refuses a second alias of the same version.
    assert warm == [None, None, {"ProvisionedConcurrentExecutions": 2}, None]


def test_both_doors_open_on_the_same_version(stack: Stack) -> None:
    assert stack.outputs["VendFunctionArn"] == "${VendFunctionAliaslive}"
    live, url = (stack.properties(f"VendFunctionAlias{name}") for name in ("live", "url"))
    assert url["FunctionVersion"] == live["FunctionVersion"]


# ------------------------------------------------------------------------------------------------ functions


@pytest.mark.parametrize(
    ("name", "variables"),
    [("RefreshFunction", settings.REFRESH_VARIABLES), ("VendFunction", settings.VEND_VARIABLES)],
)
def test_a_function_is_told_exactly_what_it_reads(
    stack: Stack, name: str, variables: tuple[str, ...]
) -> None:
    told = stack.properties(name)["Environment"]["Variables"]
    assert told.keys() == set(variables)
    assert told["STACK_NAME"] == STACK


def test_the_functions_can_read_the_defaults_and_the_full_settings(stack: Stack, full_stack: Stack) -> None:
    for each in (stack, full_stack):
        refresh, vend = (
            {k: str(v) for k, v in each.properties(name)["Environment"]["Variables"].items()}
            for name in ("RefreshFunction", "VendFunction")
        )
        settings.RefreshSettings.read(refresh)
        settings.VendSettings.read(vend)


@pytest.mark.parametrize("value", CALLER_PATTERNS)
def test_every_caller_pattern_that_deploys_also_starts(value: str) -> None:
    allowed = AllowedCallers.parse([value])
    assert not allowed.unmatchable


OTHER_VALUES = {
    "PersonrBaseUrl": "https://other.example.com/wf",
    "Issuer": ISSUER_DOCUMENT,
    "IssuerUrl": "https://login.example.com/oauth/token",
    "CredentialsSecretArn": EXISTING,
    "StandbyCredentialsSecretArn": STANDBY,
    "ProbeUrl": "https://other.example.com/whoami",
    "ScheduleExpression": "rate(5 minutes)",
    "RenewBeforeDays": "31",
    "MaxAgeDays": "22",
    "MinAgeSeconds": "901",
    "CacheSeconds": "301",
    "AllowedCallers": "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:role/b",
    "CallerAccountIds": "111111111111",
    "UrlDoor": "false",
    "ReservedVendConcurrency": "20",
    "AlarmEmail": "night@example.com",
    "ExpiryAlarmSeconds": "300",
    "CompositeAlarm": "false",
    "SchedulePeriodSeconds": "60",
    "LogRetentionDays": "30",
    "Release": "2",
    "LogLevel": "DEBUG",
    "ReservedRefreshConcurrency": "1",
    "VendSnapStart": "PublishedVersions",
    "VendProvisionedConcurrency": "1",
    **COMPANY,
}
# What a parameter needs beside it to have an effect.
GIVEN_WITH = {
    "VpcSecurityGroupIds": {
        "VpcSubnetIds": "subnet-0123456789abcdef0",
        "VpcSecurityGroupIds": "sg-0123456789abcdef9",
    },
    "EncryptLogsAndQueues": {"KmsKeyArn": KEY},
}
# Properties of the function itself, which a version does not carry.
UNVERSIONED = {"ReservedConcurrentExecutions", "Tags"}


@pytest.mark.parametrize("parameter", OTHER_VALUES)
def test_a_parameter_that_reaches_a_function_changes_the_number_of_the_settings(parameter: str) -> None:
    """SAM itself publishes no version for it, and the alias would go on with the old value."""

    def versioned(of: Stack, function: str) -> dict[str, Any]:
        return {k: v for k, v in of.properties(function).items() if k not in UNVERSIONED}

    other = Stack({**GIVEN_WITH.get(parameter, {}), parameter: OTHER_VALUES[parameter]})
    stack = Stack(GIVEN_WITH.get(parameter, {}))
    reaches = any(versioned(stack, f) != versioned(other, f) for f in ("RefreshFunction", "VendFunction"))
    assert (stack.properties("Settings")["Content"] != other.properties("Settings")["Content"]) is reaches


@pytest.mark.parametrize("name", ["RefreshFunction", "VendFunction"])
def test_the_number_of_the_settings_makes_a_new_function_version(stack: Stack, name: str) -> None:
    version = stack.properties(f"{name}Aliaslive")["FunctionVersion"].removesuffix(".Version}").strip("${")
    # Lambda refuses to publish a function that has not changed, hence in the function as well.
    assert "${Settings.VersionNumber}" in stack.properties(name)["Description"]
    assert "${Settings.VersionNumber}" in stack.properties(version)["Description"]
    assert stack.resources[version]["UpdateReplacePolicy"] == "Retain"


def test_an_issuer_that_is_a_document_is_among_the_settings_and_reaches_the_function() -> None:
    stack = Stack({"Issuer": ISSUER_DOCUMENT})
    assert json.loads(stack.properties("Settings")["Content"])["Issuer"] == ISSUER_DOCUMENT
    environment = {
        k: str(v) for k, v in stack.properties("RefreshFunction")["Environment"]["Variables"].items()
    }
    assert settings.RefreshSettings.read(environment).issuer.token.names == ("data", "token")


def test_the_lease_outlives_the_refresh_function_and_ends_before_lambdas_first_retry(stack: Stack) -> None:
    timeout = stack.properties("RefreshFunction")["Timeout"]
    assert timeout < due.LEASE.total_seconds() < 60


def test_without_the_url_door_nothing_of_it_is_left() -> None:
    """Many regions have no AWS::Lambda::Url."""
    stack = Stack({"UrlDoor": "false", "CallerAccountIds": "111111111111"})
    of_the_url = {
        "VendFunctionAliasurl", "VendFunctionUrl", "UrlCallerPolicy", "VendHttpErrorsAlarm",
        "CallerAccount1InvokeUrl", "CallerAccount1InvokeThroughUrl",
    }  # fmt: skip
    assert of_the_url <= Stack({"CallerAccountIds": "111111111111"}).resources.keys()
    assert set(stack.outputs) == OUTPUTS - {"VendUrl", "UrlCallerPolicyArn"}
    whole = json.dumps([stack.resources, stack.outputs])
    assert [name for name in of_the_url if name in whole] == []
    json.loads(stack.properties("Dashboard")["DashboardBody"])


def test_the_longest_list_of_callers_fits_into_lambdas_environment(stack: Stack) -> None:
    """4 KB: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
    arn = "arn:aws-us-gov:service:us-gov-west-1:123456789012:function:"
    parameters = cloudformation.source()["Parameters"]
    longest = {
        "ALLOWED_CALLERS": "x" * parameters["AllowedCallers"]["MaxLength"],
        "PROBE_URL": "x" * parameters["ProbeUrl"]["MaxLength"],
        "STACK_NAME": "x" * 128,
        "TOKEN_SECRET_ID": arn + "TokenSecret-AbCdEfGhIjKl-AbCdEf",
        "REFRESH_FUNCTION_NAME": arn + "x" * 64 + ":live",
        "CACHE_SECONDS": "86400",
        "MIN_AGE_SECONDS": "86400",
    }
    assert longest.keys() == stack.properties("VendFunction")["Environment"]["Variables"].keys()
    assert len(json.dumps(longest)) <= 4096


# -------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("name", ["CredentialsSecret", "TokenSecret"])
def test_a_secret_is_created_without_a_value_and_with_our_key(stack: Stack, name: str) -> None:
    properties = stack.properties(name)
    assert not properties.keys() & {"SecretString", "GenerateSecretString"}
    assert properties["KmsKeyId"] == "${EncryptionKey.Arn}"


@pytest.mark.parametrize(
    "name", ["CredentialsSecret", "TokenSecret", "EncryptionKey", "RefreshLogGroup", "VendLogGroup"]
)
def test_what_cannot_be_made_again_outlives_the_stack(stack: Stack, name: str) -> None:
    # Of a creation that fails, nothing stays behind: the key would cost a dollar a month.
    assert stack.resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert stack.resources[name]["UpdateReplacePolicy"] == "Retain"


def test_only_the_account_administers_the_key_and_nobody_grants_it_on(stack: Stack) -> None:
    administrators, no_grants = stack.properties("EncryptionKey")["KeyPolicy"]["Statement"]
    assert administrators["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert (no_grants["Effect"], no_grants["Action"]) == ("Deny", "kms:CreateGrant")


TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(
    ("policy", "resource"),
    [
        ("RefreshFailureQueuePolicy", "${RefreshFailureQueue.Arn}"),
        ("ScheduleFailureQueuePolicy", "${ScheduleFailureQueue.Arn}"),
        ("AlarmTopicPolicy", "${AlarmTopic}"),
    ],
)
def test_queues_and_topic_refuse_plain_http_and_the_topic_takes_our_alarms(
    stack: Stack, policy: str, resource: str
) -> None:
    statement = stack.statements(policy)["TlsOnly"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert (statement["Resource"], statement["Condition"]) == (resource, TLS_ONLY)
    if policy == "AlarmTopicPolicy":  # It replaces the one that lets the owner's services in.
        alarms = stack.statements(policy)["Alarms"]
        assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


# -------------------------------------------------------------------------------- regions, partitions, names


def test_kms_is_told_the_service_by_the_name_it_has_in_every_partition() -> None:
    """`kms:ViaService` ends in amazonaws.com in China too, where host names do not."""
    china = Stack(
        pseudo={"AWS::Partition": "aws-cn", "AWS::Region": "cn-north-1", "AWS::URLSuffix": "amazonaws.com.cn"}
    )
    for role in ("RefreshRole", "VendRole"):
        conditions = [s.get("Condition", {}).get("StringEquals", {}) for s in china.statements(role).values()]
        named = {c["kms:ViaService"] for c in conditions if "kms:ViaService" in c}
        assert named == {"secretsmanager.cn-north-1.amazonaws.com"}


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
        ("aws-eusc", "eusc-de-east-1", "eusc-de-east-1.console.amazonaws-eusc.eu"),
    ],
)
def test_the_dashboard_is_in_the_console_of_its_partition(partition: str, region: str, host: str) -> None:
    stack = Stack(pseudo={"AWS::Partition": partition, "AWS::Region": region})
    assert stack.outputs["DashboardUrl"].startswith(f"https://{host}/cloudwatch/home?region={region}#")


def test_the_longest_name_that_a_stack_can_have_fits_everywhere() -> None:
    stack = Stack(pseudo={"AWS::StackName": "s" * 128})
    # https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html; the linter knows the other limits.
    assert len(stack.properties("AlarmTopic")["DisplayName"]) <= 100
    for name in ("RefreshFunction", "VendFunction"):
        assert len(stack.properties(name)["Description"]) <= 256 - len("4294967295")


# ------------------------------------------------------------------------------------- what companies demand


def test_what_companies_demand_has_no_effect_by_default(stack: Stack) -> None:
    assert [n for n, group in stack.of_type("AWS::Logs::LogGroup").items() if "KmsKeyId" in group] == []
    assert [n for n, queue in stack.of_type("AWS::SQS::Queue").items() if "KmsMasterKeyId" in queue] == []
    assert {"EncryptionKey", "EncryptionKeyAlias", "AlarmTopic", "Dashboard"} <= stack.resources.keys()


def test_an_existing_key_encrypts_secrets_logs_and_queues_and_no_other_is_made(company_stack: Stack) -> None:
    assert not company_stack.resources.keys() & {"EncryptionKey", "EncryptionKeyAlias"}
    for type_name, name in (
        ("AWS::SecretsManager::Secret", "KmsKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
    ):
        assert [found[name] for found in company_stack.of_type(type_name).values()] == [KEY, KEY], type_name
    for role, sids in (
        ("RefreshRole", ["DecryptSecrets", "EncryptToken", "EncryptFailure"]),
        ("VendRole", ["DecryptToken"]),
        ("ScheduleRole", ["EncryptFailure"]),
    ):
        statements = company_stack.statements(role)
        assert [statements[sid]["Resource"] for sid in sids] == [KEY] * len(sids), role


def test_an_existing_key_leaves_logs_and_queues_alone_unless_it_is_told() -> None:
    stack = Stack({"KmsKeyArn": KEY})
    assert "KmsKeyId" not in stack.properties("VendLogGroup")
    assert stack.properties("RefreshFailureQueue")["SqsManagedSseEnabled"] is True
    assert "EncryptFailure" not in stack.statements("RefreshRole")


def test_an_existing_topic_gets_every_alarm_and_no_other_is_made(company_stack: Stack) -> None:
    assert not company_stack.resources.keys() & {"AlarmTopic", "AlarmTopicPolicy"}
    assert company_stack.outputs["AlarmTopicArn"] == TOPIC
    for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        for name, alarm in company_stack.of_type(kind).items():
            assert {*alarm.get("AlarmActions", ()), *alarm.get("OKActions", ())} <= {TOPIC}, name
    subscribed = Stack({"AlarmTopicArn": TOPIC, "AlarmEmail": "night@example.com"})
    assert subscribed.properties("AlarmSubscription")["TopicArn"] == TOPIC


@pytest.mark.parametrize("role", ["RefreshRole", "VendRole"])
def test_lambda_may_connect_a_function_to_the_vpc_and_its_code_may_not(
    company_stack: Stack, role: str
) -> None:
    statements = company_stack.statements(role)
    assert "ec2:CreateNetworkInterface" in statements["ConnectToVpc"]["Action"]
    assert statements["NoNetworkForTheCode"] == {
        "Sid": "NoNetworkForTheCode",
        "Effect": "Deny",
        "Action": "ec2:*",
        "Resource": "*",
        "Condition": {
            "ArnLike": {"lambda:SourceFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:*"}
        },
    }


# ---------------------------------------------------------------------------------- what an update publishes


class Lambda:
    """PublishVersion as AWS documents it: of a function that has not changed since the last one, there is none.

    CloudFormation says "A version for this Lambda function exists" then, and the deployment fails.
    """

    def __init__(self) -> None:
        self.published: list[tuple[str, str]] = []

    def publish(self, stack: Stack, code: str) -> bool:
        """Whether a version is made of this code and these properties."""
        carried = {k: v for k, v in stack.properties("VendFunction").items() if k not in UNVERSIONED}
        state = (code, json.dumps(carried, sort_keys=True))
        if self.published[-1:] == [state]:
            return False
        self.published.append(state)
        return True


def test_a_deployment_that_was_rolled_back_can_be_repeated_under_another_release() -> None:
    """The version that it published stays, being retained, and the same function is no news to Lambda."""
    aws = Lambda()
    assert aws.publish(Stack(), "1.0.0")
    assert aws.publish(Stack(), "1.1.0"), "the deployment that is then rolled back"
    assert not aws.publish(Stack(), "1.1.0"), "the trap"
    assert aws.publish(Stack({"Release": "2"}), "1.1.0")


@pytest.mark.parametrize("edited", ["Tags", "ReservedConcurrentExecutions"])
def test_an_edit_of_what_no_version_carries_can_be_deployed(
    edited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SAM asks for a version after every edit of a function; the built code then has to be another."""

    def code(template: str) -> str:
        (tmp_path / "template.yaml").write_text(template)
        monkeypatch.setattr(build_artifact, "TEMPLATE", tmp_path / "template.yaml")
        build_artifact.build_function("vend", tmp_path / "built")
        files = sorted(file for file in (tmp_path / "built").rglob("*") if file.is_file())
        return repr([file.read_bytes() for file in files])

    text = cloudformation.TEMPLATE.read_text()
    aws = Lambda()
    assert aws.publish(Stack(), code(text))
    assert not aws.publish(Stack(), code(text))
    assert aws.publish(Stack(), code(text.replace("      CodeUri: functions/vend", f"      {edited}: 1", 1)))


# ---------------------------------------------------------------------------------------------------- roles


def of(secret: Any) -> dict[str, Any]:
    """A condition: only for this secret, and only through Secrets Manager."""
    return {"kms:ViaService": VIA_SECRETS_MANAGER, "kms:EncryptionContext:SecretARN": secret}


def refresh_statements(credentials: list[str], decryptable: list[str]) -> list[dict[str, Any]]:
    token, key = "${TokenSecret.Id}", "${EncryptionKey.Arn}"
    calls = "GetSecretValue DescribeSecret ListSecretVersionIds PutSecretValue UpdateSecretVersionStage"
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    as_we = {"Condition": {"StringEqualsIfExists": {"events:source": "token-vending"}}}
    return [
        allow("ReadCredentials", "secretsmanager:GetSecretValue", credentials),
        allow("ReadAndWriteToken", [f"secretsmanager:{call}" for call in calls.split()], token),
        allow("DecryptSecrets", "kms:Decrypt", key, of(decryptable)),
        allow("EncryptToken", "kms:GenerateDataKey", key, of(token)),
        allow("AnnounceWhatHappened", "events:PutEvents", bus) | as_we,
        allow("ReportFailure", "sqs:SendMessage", "${RefreshFailureQueue.Arn}"),
        allow("WriteLog", ["logs:CreateLogStream", "logs:PutLogEvents"], "${RefreshLogGroup.Arn}"),
    ]


def test_the_refresh_role_may_do_exactly_this(stack: Stack) -> None:
    assert list(stack.statements("RefreshRole").values()) == refresh_statements(
        ["${CredentialsSecret.Id}"], ["${TokenSecret.Id}", "${CredentialsSecret.Id}"]
    )


def test_with_existing_secrets_the_refresh_role_may_decrypt_those_two_and_no_more(full_stack: Stack) -> None:
    statements = full_stack.statements("RefreshRole")
    for sid, region, account, secret in (
        ("DecryptExistingCredentials", REGION, ACCOUNT, EXISTING),
        ("DecryptStandbyCredentials", "eu-west-1", "210987654321", STANDBY),
    ):
        key = f"arn:aws:kms:{region}:{account}:key/*"
        assert statements.pop(sid) == allow(sid, "kms:Decrypt", key, of(secret))
    assert list(statements.values()) == refresh_statements([EXISTING, STANDBY], ["${TokenSecret.Id}"])


MAY = {
    "VendRole": [
        allow("ReadToken", "secretsmanager:GetSecretValue", "${TokenSecret.Id}"),
        allow("DecryptToken", "kms:Decrypt", "${EncryptionKey.Arn}", of("${TokenSecret.Id}")),
        allow("StartRefresh", "lambda:InvokeFunction", "${RefreshFunctionAliaslive}"),
        allow("WriteLog", ["logs:CreateLogStream", "logs:PutLogEvents"], "${VendLogGroup.Arn}"),
    ],
    "ScheduleRole": [
        allow("StartRefresh", "lambda:InvokeFunction", "${RefreshFunctionAliaslive}"),
        allow("KeepLostTick", "sqs:SendMessage", "${ScheduleFailureQueue.Arn}"),
    ],
    "CallerPolicy": [allow("Ask", "lambda:InvokeFunction", "${VendFunctionAliaslive}")],
}


@pytest.mark.parametrize("policy", MAY)
def test_a_role_or_policy_allows_exactly_this(stack: Stack, policy: str) -> None:
    assert list(stack.statements(policy).values()) == MAY[policy]


def test_a_caller_over_http_gets_both_actions_that_a_url_needs_and_nothing_else(stack: Stack) -> None:
    alias = "${VendFunctionAliasurl}"
    auth = {"lambda:FunctionUrlAuthType": "AWS_IAM"}
    through_the_url = {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
    assert list(stack.statements("UrlCallerPolicy").values()) == [
        allow("AskOverHttp", "lambda:InvokeFunctionUrl", alias, auth),
        allow("InvokeThroughTheUrlOnly", "lambda:InvokeFunction", alias) | {"Condition": through_the_url},
    ]


def test_a_role_is_assumed_by_its_service_only_and_brings_no_policy_that_is_not_written_here(
    full_stack: Stack,
) -> None:
    roles = full_stack.of_type("AWS::IAM::Role")
    trusted = {}
    for name, role in roles.items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Action"] == "sts:AssumeRole"
        trusted[name] = statement["Principal"]
    by_lambda = {"Service": "lambda.amazonaws.com"}
    by_schedules = {"Service": "scheduler.amazonaws.com"}
    assert trusted == {"RefreshRole": by_lambda, "VendRole": by_lambda, "ScheduleRole": by_schedules}
    (statement,) = roles["ScheduleRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == ACCOUNT, "of this account only"
    assert [name for name, role in roles.items() if "ManagedPolicyArns" in role] == []


# -------------------------------------------------------------------------------------------------- callers


def test_without_caller_accounts_nobody_outside_the_account_may_call(stack: Stack) -> None:
    assert stack.of_type("AWS::Lambda::Permission") == {}
    assert stack.of_type("AWS::Lambda::LayerVersionPermission") == {}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_each_caller_account_gets_each_door_by_itself_and_both_layers(count: int) -> None:
    accounts = [str(digit) * 12 for digit in range(1, count + 1)]
    stack = Stack({"CallerAccountIds": ",".join(accounts)})
    url, live = "${VendFunctionAliasurl}", "${VendFunctionAliaslive}"
    assert list(stack.of_type("AWS::Lambda::Permission").values()) == [
        {"Principal": account, **grant}
        for account in accounts
        for grant in (
            {"FunctionName": live, "Action": "lambda:InvokeFunction"},
            {"FunctionName": url, "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "AWS_IAM"},
            {"FunctionName": url, "Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
        )
    ]
    layers = stack.of_type("AWS::Lambda::LayerVersionPermission")
    assert [layer["Principal"] for layer in layers.values()] == [
        account for account in accounts for _layer in range(2)
    ]
    assert len({layer["LayerVersionArn"] for layer in layers.values()}) == 2
    # A removed account loses it, and a new version of the layer takes no older one away from anybody.
    assert {stack.resources[name].get("DeletionPolicy", "Delete") for name in layers} == {"Delete"}
    assert {stack.resources[name]["UpdateReplacePolicy"] for name in layers} == {"Retain"}


def test_the_patterns_of_callers_reach_the_function_as_one_list() -> None:
    callers = "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:user/b"
    environment = Stack({"AllowedCallers": callers}).properties("VendFunction")["Environment"]["Variables"]
    assert environment["ALLOWED_CALLERS"] == callers
