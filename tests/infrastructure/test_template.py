"""What the template promises, read off the template after SAM's transform."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts import build_artifact
from scripts import template as cloudformation
from scripts.template import ACCOUNT, COMPANY, EVERYTHING, EXISTING, KEY, REGION, STANDBY, TOPIC, Stack
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


UNDER = {
    "as it comes": {},
    "with everything": {name: value for name, value in EVERYTHING.items() if name not in COMPANY},
    "in a company": COMPANY,
    "with a key": {"KmsKeyArn": KEY},
    "with a topic": {"AlarmTopicArn": TOPIC, "AlarmEmail": "night@example.com"},
}
"""Parameters, by what a stack with them is called here."""


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack()


CALLER_PATTERNS = [
    "arn:aws:iam::123456789012:role/payroll",
    "arn:aws:iam::123456789012:role/payroll-*",
    "arn:aws:iam::123456789012:role/teams/payroll",
    "arn:aws:iam::123456789012:role/*/payroll",
    "arn:aws:iam::123456789012:user/people/*",
    "arn:aws-cn:iam::123456789012:user/anna",
    "arn:aws-us-gov:iam::123456789012:role/payroll",
    "arn:aws-iso-b:iam::123456789012:role/payroll",
]


def allow(sid: str, action: Any, resource: Any, condition: Any = None) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
    return statement if condition is None else {**statement, "Condition": {"StringEquals": condition}}


# --------------------------------------------------------------------------------------------- the contract


def test_every_parameter_is_described_grouped_and_limited_and_takes_its_own_default() -> None:
    template = cloudformation.source()
    parameters = template["Parameters"]
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(parameters) == sorted(OTHER_VALUES)
    assert set(interface["ParameterLabels"]) == set(parameters)
    for name, spec in parameters.items():
        assert spec["Description"], name
        assert spec.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}, name
        if "AllowedPattern" in spec:
            assert spec["ConstraintDescription"].startswith("must be "), name
            assert re.fullmatch(spec["AllowedPattern"], spec["Default"]), name


def test_the_outputs_of_the_contract_exist(stack: Stack) -> None:
    assert set(stack.outputs) == OUTPUTS


def test_an_existing_credentials_secret_stands_in_for_the_one_that_is_made(stack: Stack) -> None:
    full = Stack(UNDER["with everything"])
    assert stack.outputs["CredentialsSecretArn"] == "${CredentialsSecret.Id}"
    assert full.outputs["CredentialsSecretArn"] == EXISTING
    assert "CredentialsSecret" not in full.resources
    assert json.loads(full.properties("Settings")["Content"])["CredentialsSecretArn"] == EXISTING


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


TICK = '{"id": "<aws.scheduler.execution-id>", "scheduled_time": "<aws.scheduler.scheduled-time>"}'
SECRETS = ("CredentialsSecret", "TokenSecret")
QUEUES = ("RefreshFailureQueue", "ScheduleFailureQueue")
GROUPS = ("RefreshLogGroup", "VendLogGroup")
FUNCTIONS = ("RefreshFunction", "VendFunction")
SAYS: dict[str, dict[str, Any]] = {
    "as it comes": {
        **{f"{name}.LoggingConfig.LogFormat": "JSON" for name in FUNCTIONS},
        "VendFunction.SnapStart.ApplyOn": "None",
        "VendFunctionUrl.AuthType": "AWS_IAM",
        "VendFunctionUrl.Qualifier": "url",
        # A failed refresh is retried and then kept.
        "RefreshFunctionEventInvokeConfig.Qualifier": "live",
        "RefreshFunctionEventInvokeConfig.MaximumRetryAttempts": 2,
        "RefreshFunctionEventInvokeConfig.MaximumEventAgeInSeconds": 900,
        "RefreshFunctionEventInvokeConfig.DestinationConfig.OnFailure.Destination": "${RefreshFailureQueue.Arn}",
        # A tick has an id of its own, and is retried and then kept where it cannot be delivered.
        "Schedule.ScheduleExpression": "rate(15 minutes)",
        "Schedule.Target.Arn": "${RefreshFunctionAliaslive}",
        "Schedule.Target.Input": TICK,
        "Schedule.Target.RetryPolicy": {"MaximumRetryAttempts": 5, "MaximumEventAgeInSeconds": 900},
        "Schedule.Target.DeadLetterConfig.Arn": "${ScheduleFailureQueue.Arn}",
        **{f"{name}.MessageRetentionPeriod": 14 * 24 * 3600 for name in QUEUES},
        # Concurrency and warm starts are bought on demand only.
        **{f"{name}.ReservedConcurrentExecutions": None for name in FUNCTIONS},
        **{f"VendFunctionAlias{door}.ProvisionedConcurrencyConfig": None for door in ("live", "url")},
        # CloudFormation gives the secrets no value: an edit of the template can overwrite no token.
        **{f"{name}.{field}": None for name in SECRETS for field in ("SecretString", "GenerateSecretString")},
        **{f"{name}.KmsKeyId": "${EncryptionKey.Arn}" for name in SECRETS},
        # What cannot be made again outlives the stack. Of a creation that fails, nothing stays behind: the key
        # would cost a dollar a month.
        **{f"{name}.DeletionPolicy": "RetainExceptOnCreate" for name in (*SECRETS, "EncryptionKey", *GROUPS)},
        **{f"{name}.UpdateReplacePolicy": "Retain" for name in (*SECRETS, "EncryptionKey", *GROUPS)},
    },
    "with everything": {
        "RefreshFunction.ReservedConcurrentExecutions": 1,
        "VendFunction.ReservedConcurrentExecutions": 20,
        "VendFunctionAliaslive.ProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": 2},
        # Lambda refuses a second alias of the same version.
        "VendFunctionAliasurl.ProvisionedConcurrencyConfig": None,
        "RefreshFunction.Environment.Variables.CREDENTIALS_SECRET_ID": EXISTING,
        "RefreshFunction.Environment.Variables.STANDBY_CREDENTIALS_SECRET_ID": STANDBY,
    },
    "in a company": {
        **{f"{name}.KmsKeyId": KEY for name in (*SECRETS, *GROUPS)},
        **{f"{name}.KmsMasterKeyId": KEY for name in QUEUES},
        **dict.fromkeys(
            ("EncryptionKey", "EncryptionKeyAlias", "AlarmTopic", "AlarmTopicPolicy", "Dashboard")
        ),
    },
    # It encrypts logs and queues only where it is told to.
    "with a key": {
        **{f"{name}.KmsKeyId": None for name in GROUPS},
        **{f"{name}.SqsManagedSseEnabled": True for name in QUEUES},
    },
    "with a topic": {"AlarmSubscription.TopicArn": TOPIC},
}
"""None: there is no such thing."""


@pytest.mark.parametrize("parameters", SAYS)
def test_the_resources_have_the_properties_that_matter(parameters: str) -> None:
    stack = Stack(UNDER[parameters])
    flat = {name: {**found, **found.get("Properties", {})} for name, found in stack.resources.items()}

    def look(path: str) -> Any:
        found: Any = flat
        for step in path.split("."):
            found = found.get(step) if found else None
        return found

    assert {path: look(path) for path in SAYS[parameters]} == SAYS[parameters]


def environment(stack: Stack, function: str) -> dict[str, str]:
    return {k: str(v) for k, v in stack.properties(function)["Environment"]["Variables"].items()}


def test_both_doors_open_on_the_same_version(stack: Stack) -> None:
    assert stack.outputs["VendFunctionArn"] == "${VendFunctionAliaslive}"
    live, url = (stack.properties(f"VendFunctionAlias{name}") for name in ("live", "url"))
    assert (live["Name"], url["Name"]) == ("live", "url")
    assert url["FunctionVersion"] == live["FunctionVersion"]


# ------------------------------------------------------------------------------------------------ functions


@pytest.mark.parametrize("parameters", ["as it comes", "with everything"])
def test_the_functions_are_told_exactly_what_they_read_and_can_read_it(parameters: str) -> None:
    told = {name: environment(Stack(UNDER[parameters]), name) for name in FUNCTIONS}
    assert told["RefreshFunction"].keys() == set(settings.REFRESH_VARIABLES)
    assert told["VendFunction"].keys() == set(settings.VEND_VARIABLES)
    assert settings.RefreshSettings.read(told["RefreshFunction"])
    assert settings.VendSettings.read(told["VendFunction"])


def test_every_caller_pattern_that_deploys_also_starts() -> None:
    assert not AllowedCallers.parse(CALLER_PATTERNS).unmatchable


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
        "VpcSubnetIds": COMPANY["VpcSubnetIds"],
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
    assert settings.RefreshSettings.read(environment(stack, "RefreshFunction")).issuer.token.names == (
        "data",
        "token",
    )


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


def test_only_the_account_administers_the_key_and_nobody_grants_it_on(stack: Stack) -> None:
    administrators, no_grants = stack.properties("EncryptionKey")["KeyPolicy"]["Statement"]
    assert administrators["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert (no_grants["Effect"], no_grants["Action"]) == ("Deny", "kms:CreateGrant")


def test_the_topic_refuses_plain_http_and_takes_our_alarms(stack: Stack) -> None:
    """The policy replaces the one that lets the owner's services in. tests/e2e shows the same of the queues."""
    refused, alarms = (stack.statements("AlarmTopicPolicy")[sid] for sid in ("TlsOnly", "Alarms"))
    assert (refused["Effect"], refused["Principal"], refused["Resource"]) == ("Deny", "*", "${AlarmTopic}")
    assert refused["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
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


def test_an_existing_key_is_the_one_that_the_roles_may_use() -> None:
    company, with_key = Stack(COMPANY), Stack({"KmsKeyArn": KEY})
    for role, sids in (
        ("RefreshRole", ["DecryptSecrets", "EncryptToken", "EncryptFailure"]),
        ("VendRole", ["DecryptToken"]),
        ("ScheduleRole", ["EncryptFailure"]),
    ):
        statements = company.statements(role)
        assert [statements[sid]["Resource"] for sid in sids] == [KEY] * len(sids), role
    assert "EncryptFailure" not in with_key.statements("RefreshRole")


def test_an_existing_topic_gets_every_alarm() -> None:
    company = Stack(COMPANY)
    assert company.outputs["AlarmTopicArn"] == TOPIC
    for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        for name, alarm in company.of_type(kind).items():
            assert {*alarm.get("AlarmActions", ()), *alarm.get("OKActions", ())} <= {TOPIC}, name


@pytest.mark.parametrize("role", ["RefreshRole", "VendRole"])
def test_lambda_may_connect_a_function_to_the_vpc_and_its_code_may_not(role: str) -> None:
    statements = Stack(COMPANY).statements(role)
    assert "ec2:CreateNetworkInterface" in statements["ConnectToVpc"]["Action"]
    denied = statements["NoNetworkForTheCode"]
    assert (denied["Effect"], denied["Action"], denied["Resource"]) == ("Deny", "ec2:*", "*")
    functions = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:*"
    assert denied["Condition"] == {"ArnLike": {"lambda:SourceFunctionArn": functions}}


@pytest.mark.parametrize("edited", ["Tags", "ReservedConcurrentExecutions"])
def test_an_edit_of_what_no_version_carries_changes_the_built_code(
    edited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SAM asks for a version after every edit of a function, and Lambda makes none of one that is the same."""

    def code(template: str) -> list[bytes]:
        (tmp_path / "template.yaml").write_text(template)
        monkeypatch.setattr(build_artifact, "TEMPLATE", tmp_path / "template.yaml")
        build_artifact.build_function("vend", tmp_path / "built")
        return [file.read_bytes() for file in sorted((tmp_path / "built").rglob("*")) if file.is_file()]

    text = cloudformation.TEMPLATE.read_text()
    assert code(text) == code(text)
    assert code(text) != code(text.replace("      CodeUri: functions/vend", f"      {edited}: 1", 1))


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


def test_with_existing_secrets_the_refresh_role_may_decrypt_those_two_and_no_more() -> None:
    statements = Stack(UNDER["with everything"]).statements("RefreshRole")
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
    stack: Stack,
) -> None:
    roles = stack.of_type("AWS::IAM::Role")
    trusted = {}
    for name, role in roles.items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Action"] == "sts:AssumeRole"
        assert "ManagedPolicyArns" not in role
        trusted[name] = statement["Principal"]["Service"].removesuffix(".amazonaws.com")
    assert trusted == {"RefreshRole": "lambda", "VendRole": "lambda", "ScheduleRole": "scheduler"}
    (statement,) = roles["ScheduleRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == ACCOUNT, "of this account only"


# -------------------------------------------------------------------------------------------------- callers


def test_without_caller_accounts_nobody_outside_the_account_may_call(stack: Stack) -> None:
    assert stack.of_type("AWS::Lambda::Permission") == {}
    assert stack.of_type("AWS::Lambda::LayerVersionPermission") == {}


@pytest.mark.parametrize("count", [1, 5])
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
