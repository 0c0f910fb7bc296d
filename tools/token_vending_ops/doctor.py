"""The checks. Each looks at one thing from outside, changes nothing, and shows no secret."""

import json
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from token_vending.due import lease_over
from token_vending.errors import ConfigurationError
from token_vending.records import read_credentials, read_record
from token_vending.token import Intent, Token
from token_vending_ops.deployed import DeployedStack, MissingPartError
from token_vending_ops.findings import Finding, Severity

EXPIRES_SOON = timedelta(days=14)
LATE_TICKS = 3
OWN_POLICIES = {"RefreshRole": "refresh", "VendRole": "vend", "ScheduleRole": "schedule"}
URL_ACTIONS = {"lambda:InvokeFunction", "lambda:InvokeFunctionUrl"}
SECRET_OF_CHECK = {
    "credentials": "CredentialsSecretArn",
    "token": "TokenSecretArn",
    "lock": "TokenSecretArn",
}
KEPT_OF_SCHEDULE = ("Name", "Description", "ScheduleExpression", "FlexibleTimeWindow", "Target")
GONE = re.compile(r"NotFound|NoSuchEntity|NonExistent|NotExist")
"""In the error codes by which the services say that a thing does not exist; no two of them agree."""

type Check = Callable[[DeployedStack, datetime], Iterator[Finding]]


def examine(stack: DeployedStack, now: datetime | None = None) -> list[Finding]:
    """Every check's findings. A check that fails is a finding itself, and stops no other."""
    now = now or datetime.now(UTC)
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check(stack, now)
        except ClientError as error:
            findings.append(_refusal(name, error, stack))
        except MissingPartError as error:
            saw = f"the stack has no {error}: it was not deployed whole"
            findings.append(Finding(name, Severity.CRITICAL, saw, _events(stack)))
        except Exception as error:  # noqa: BLE001  whatever a sick stack answers, the other checks are wanted
            # Its text may hold what was read.
            saw = f"could not be examined: {type(error).__name__}"
            findings.append(Finding(name, Severity.UNKNOWN, saw))
    return findings


def _refusal(name: str, error: ClientError, stack: DeployedStack) -> Finding:
    """What it means that AWS answers with an error: a thing is gone, or we may not see it."""
    code = error.response["Error"]["Code"]
    reason = f"{error.operation_name}: {code}"
    if code == "InvalidRequestException" and name in SECRET_OF_CHECK:
        arn = stack.outputs[SECRET_OF_CHECK[name]]
        restore = f"aws secretsmanager restore-secret --secret-id {arn}"
        return Finding(name, Severity.CRITICAL, f"the secret is marked for deletion ({reason})", restore)
    if GONE.search(code):
        if name in SECRET_OF_CHECK:
            saw = f"the secret is gone ({reason}): docs/operations.md#restore-a-deleted-secret"
        elif name == "schedule":
            saw = f"it or its log is gone ({reason}): docs/operations.md#no-tick"
        else:
            saw = f"what the stack made is gone ({reason})"
        # Needs a change at the resource: CloudFormation does not notice what others delete.
        return Finding(name, Severity.CRITICAL, saw, f"sam build && sam deploy --stack-name {stack.name}")
    return Finding(name, Severity.UNKNOWN, f"AWS refused to tell: {reason}")


def _stack_status(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    healthy = stack.status.endswith("_COMPLETE") and "ROLLBACK" not in stack.status
    yield Finding(
        "stack",
        Severity.OK if healthy else Severity.WARNING,
        f"its status is {stack.status}",
        "" if healthy else _events(stack),
    )


def _credentials(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    arn = stack.outputs["CredentialsSecretArn"]
    mend = f"aws secretsmanager put-secret-value --secret-id {arn} --secret-string file://credentials.json"
    manager = stack.client("secretsmanager")
    try:
        answer = manager.get_secret_value(SecretId=arn)
    except manager.exceptions.ResourceNotFoundException:
        _labels(stack, arn)  # says so if it is the secret itself that is not there
        yield Finding("credentials", Severity.CRITICAL, "not set", mend)
        return
    fault = credentials_fault(answer.get("SecretString"))
    if fault:
        yield Finding("credentials", Severity.CRITICAL, fault, mend)
        return
    labels = _labels(stack, stack.outputs["TokenSecretArn"])
    if f"REFUSED-{answer['VersionId']}" in labels:
        yield Finding(
            "credentials", Severity.CRITICAL, "the vendor refused them; they are not sent again", mend
        )
        return
    yield Finding("credentials", Severity.OK, "set and well-formed, not refused")


def credentials_fault(text: str | None) -> str:
    """Why the refresh function cannot use the credentials, in its own words; empty if it can."""
    try:
        read_credentials("", text)
    except ConfigurationError as error:
        return error.detail.partition(" Store it with:")[0]
    return ""


def _schedule(stack: DeployedStack, now: datetime) -> Iterator[Finding]:
    name = stack.resources["Schedule"]
    schedule = stack.client("scheduler").get_schedule(Name=name)
    if schedule.get("State", "ENABLED") != "ENABLED":
        yield Finding(
            "schedule",
            Severity.CRITICAL,
            "disabled: nothing renews the token",
            _enable(name),
        )
    elif not schedule["Target"]["Arn"].endswith(f":{stack.outputs['RefreshFunctionName']}:live"):
        yield Finding(
            "schedule", Severity.CRITICAL, "its target is not the refresh function's alias", _drift(stack)
        )
    else:
        yield Finding("schedule", Severity.OK, f"enabled, {schedule['ScheduleExpression']}")
    yield _last_tick(stack, now)


def _last_tick(stack: DeployedStack, now: datetime) -> Finding:
    period = timedelta(seconds=int(stack.parameters.get("SchedulePeriodSeconds") or 900))
    streams = stack.client("logs").describe_log_streams(
        logGroupName=f"/aws/lambda/{stack.name}/refresh", orderBy="LastEventTime", descending=True, limit=1
    )["logStreams"]
    stamps = [stream["lastEventTimestamp"] for stream in streams if "lastEventTimestamp" in stream]
    if not stamps:
        return Finding("last tick", Severity.WARNING, "the refresh function has never run", _tick(stack))
    last = datetime.fromtimestamp(max(stamps) / 1000, UTC)
    late = now - last > LATE_TICKS * period
    return Finding(
        "last tick",
        Severity.CRITICAL if late else Severity.OK,
        f"{_ago(now - last)} ago",
        _tick(stack) if late else "",
    )


def _token(stack: DeployedStack, now: datetime) -> Iterator[Finding]:
    arn = stack.outputs["TokenSecretArn"]
    manager = stack.client("secretsmanager")
    try:
        answer = manager.get_secret_value(SecretId=arn)
    except manager.exceptions.ResourceNotFoundException:
        _labels(stack, arn)  # says so if it is the secret itself that is not there
        yield Finding("token", Severity.CRITICAL, "there is none yet", _tick(stack))
        return
    yield judge_token(answer.get("SecretString"), now, mend=_force(stack))


def judge_token(text: str | None, now: datetime, *, mend: str) -> Finding:
    """The finding for the current version's content, of which only the times are shown."""
    try:
        token = read_record("AWSCURRENT", text)
    except ConfigurationError:
        return Finding("token", Severity.CRITICAL, "the secret was overwritten with something else", mend)
    if token is None:
        return Finding("token", Severity.CRITICAL, "there is none yet", mend)
    if isinstance(token, Intent):
        return Finding("token", Severity.CRITICAL, "there is none yet, only the intent to mint one", mend)
    left = token.remaining(now)
    saw = f"minted {_ago(token.age(now))} ago because of {token.reason}, expires in {_ago(left)}"
    if token.expired(now):
        return Finding("token", Severity.CRITICAL, f"expired {_ago(-left)} ago", mend)
    if left < EXPIRES_SOON:
        return Finding("token", Severity.CRITICAL, saw, mend)
    return Finding("token", Severity.OK, saw)


def _lock(stack: DeployedStack, now: datetime) -> Iterator[Finding]:
    arn = stack.outputs["TokenSecretArn"]
    labels = _labels(stack, arn)
    holder = labels.get("MINTING")
    if holder is None:
        yield Finding("lock", Severity.OK, "free")
    else:
        yield _judge_lock(stack, arn, holder, labels, now)
    refused = sorted(label.removeprefix("REFUSED-") for label in labels if label.startswith("REFUSED-"))
    if refused:
        yield Finding("latch", Severity.OK, f"set for the credentials versions {', '.join(refused)}")
    else:
        yield Finding("latch", Severity.OK, "not set")


def _judge_lock(
    stack: DeployedStack, arn: str, holder: str, labels: Mapping[str, str], now: datetime
) -> Finding:
    intent = _record(stack, arn, holder)
    if not isinstance(intent, Intent):
        return Finding(
            "lock",
            Severity.WARNING,
            "lies on a version that is no intent of ours; the next tick takes it over",
            _tick(stack),
        )
    current = labels.get("AWSCURRENT")
    token = _record(stack, arn, current) if current is not None else None
    if isinstance(token, Token) and token.run == intent.run:
        return Finding("lock", Severity.OK, "left behind by a finished run; the next tick takes it off")
    began = f" {_ago(now - intent.started_at)} ago" if intent.started_at else ""
    if not lease_over(intent, now):
        return Finding("lock", Severity.OK, f"held by a run that began{began}")
    return Finding(
        "lock",
        Severity.WARNING,
        f"left by a run that died{began} and may have minted; the next tick takes it over",
        _tick(stack),
    )


def _record(stack: DeployedStack, arn: str, version: str) -> Token | Intent | None:
    """None also for what does not read as ours."""
    answer = stack.client("secretsmanager").get_secret_value(SecretId=arn, VersionId=version)
    try:
        return read_record(version, answer.get("SecretString"))
    except ConfigurationError:
        return None


def _alarms(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    cloudwatch = stack.client("cloudwatch")
    ours = set(stack.resources.values())
    ringing = []
    for page in cloudwatch.get_paginator("describe_alarms").paginate(StateValue="ALARM"):
        ringing += [alarm["AlarmName"] for alarm in page.get("MetricAlarms", [])]
        ringing += [alarm["AlarmName"] for alarm in page.get("CompositeAlarms", [])]
    ringing = sorted(name for name in ringing if name in ours)
    for name in ringing:
        anchor = name.removeprefix(f"{stack.name}-")
        yield Finding("alarms", Severity.CRITICAL, f"{name} is in ALARM: docs/operations.md#{anchor}")
    if not ringing:
        yield Finding("alarms", Severity.OK, "none is in ALARM")
    topic = stack.resources["AlarmTopic"]
    subscriptions = stack.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    confirmed = [s for s in subscriptions if s["SubscriptionArn"].startswith("arn:")]
    if confirmed:
        yield Finding("alarm topic", Severity.OK, f"{len(confirmed)} confirmed subscriptions")
        return
    waiting = " (one waits for its confirmation)" if subscriptions else ""
    yield Finding(
        "alarm topic",
        Severity.WARNING,
        f"nobody is subscribed{waiting}: alarms reach no one",
        f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint you@example.com",
    )


def _dead_letters(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    queues = stack.client("sqs")
    for name in ("RefreshFailureQueue", "ScheduleFailureQueue"):
        url = stack.resources[name]
        attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        count = int(attributes["Attributes"]["ApproximateNumberOfMessages"])
        yield Finding(
            "dead letters",
            Severity.WARNING if count else Severity.OK,
            f"{count} in {name}",
            f"aws sqs receive-message --queue-url {url}" if count else "",
        )


def _url(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    alias = stack.outputs["VendFunctionArn"]
    functions = stack.client("lambda")
    config = functions.get_function_url_config(
        FunctionName=stack.outputs["VendFunctionName"], Qualifier="live"
    )
    if config["AuthType"] != "AWS_IAM":
        yield Finding(
            "URL",
            Severity.CRITICAL,
            f"its AuthType is {config['AuthType']}: open to everybody",
            f"aws lambda update-function-url-config --function-name {stack.outputs['VendFunctionName']} "
            "--qualifier live --auth-type AWS_IAM",
        )
    iam = stack.client("iam")
    arn = stack.outputs["CallerPolicyArn"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = _document(
        iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    )
    missing = URL_ACTIONS - _allowed_actions(document, alias)
    yield _permissions("the caller policy", missing, stack)
    accounts = [account for account in stack.parameters.get("CallerAccountIds", "").split(",") if account]
    if not accounts:
        return
    answer = functions.get_policy(FunctionName=stack.outputs["VendFunctionName"], Qualifier="live")
    policy = _document(answer["Policy"])
    for account in accounts:
        allowed = {
            action
            for statement in policy["Statement"]
            if account in json.dumps(statement.get("Principal"))
            for action in _as_list(statement["Action"])
        }
        yield _permissions(f"account {account}", URL_ACTIONS - allowed, stack)


def _permissions(who: str, missing: set[str], stack: DeployedStack) -> Finding:
    if missing:
        lacks = " and ".join(sorted(missing))
        return Finding("URL permissions", Severity.CRITICAL, f"{who} lacks {lacks}", _drift(stack))
    return Finding("URL permissions", Severity.OK, f"{who} has both")


def _roles(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    formation, iam = stack.client("cloudformation"), stack.client("iam")
    for role, own_policy in OWN_POLICIES.items():
        name = stack.resources[role]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        for policy in attached:
            yield Finding(
                "roles",
                Severity.CRITICAL,
                f"{role} has a policy that is not ours: {policy['PolicyName']}",
                f"aws iam detach-role-policy --role-name {name} --policy-arn {policy['PolicyArn']}",
            )
        for policy_name in sorted(set(inline) - {own_policy}):
            yield Finding(
                "roles",
                Severity.CRITICAL,
                f"{role} has a policy that is not ours: {policy_name}",
                f"aws iam delete-role-policy --role-name {name} --policy-name {policy_name}",
            )
        drift = formation.detect_stack_resource_drift(StackName=stack.name, LogicalResourceId=role)
        status = drift["StackResourceDrift"]["StackResourceDriftStatus"]
        in_sync = status == "IN_SYNC"
        yield Finding(
            "roles",
            Severity.OK if in_sync else Severity.CRITICAL,
            f"{role} is as deployed" if in_sync else f"{role} is {status}",
            "" if in_sync else _drift(stack),
        )


def _settings(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    functions = stack.client("lambda")
    for output in ("RefreshFunctionName", "VendFunctionName"):
        name = stack.outputs[output]
        live, latest = (
            functions.get_function_configuration(FunctionName=name, Qualifier=qualifier)
            for qualifier in ("live", "$LATEST")
        )
        function = output.removesuffix("Name")
        same = all(live.get(part) == latest.get(part) for part in ("CodeSha256", "Environment", "Layers"))
        yield Finding(
            "live version",
            Severity.OK if same else Severity.WARNING,
            f"{function} runs what was deployed last (version {live['Version']})"
            if same
            else f"{function} runs version {live['Version']}, not what was deployed last",
            "" if same else _publish(name),
        )


def _labels(stack: DeployedStack, arn: str) -> dict[str, str]:
    described = stack.client("secretsmanager").describe_secret(SecretId=arn)
    return {
        label: version
        for version, labels in described.get("VersionIdsToStages", {}).items()
        for label in labels
    }


def _allowed_actions(document: Mapping[str, Any], resource: str) -> set[str]:
    return {
        action
        for statement in document["Statement"]
        if statement["Effect"] == "Allow" and resource in _as_list(statement["Resource"])
        for action in _as_list(statement["Action"])
    }


def _document(text: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(text, dict):
        return text
    document: dict[str, Any] = json.loads(
        text if text.lstrip().startswith("{") else urllib.parse.unquote(text)
    )
    return document


def _as_list(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _ago(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for name, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"


def _refresh(stack: DeployedStack, event: str) -> str:
    return (
        f"aws lambda invoke --function-name {stack.outputs['RefreshFunctionName']}:live "
        f"--payload fileb://events/{event}.json /dev/stdout"
    )


def _tick(stack: DeployedStack) -> str:
    return _refresh(stack, "plain-tick")


def _force(stack: DeployedStack) -> str:
    return _refresh(stack, "forced-refresh")


def _enable(schedule: str) -> str:
    """An update replaces the whole schedule: what it is to keep is read from it first."""
    wanted = ", ".join(f"{part}: {part}" for part in KEPT_OF_SCHEDULE)
    read = f"aws scheduler get-schedule --name {schedule} --query '{{{wanted}}}' --output json"
    return f'aws scheduler update-schedule --state ENABLED --cli-input-json "$({read})"'


def _publish(function: str) -> str:
    publish = f"aws lambda publish-version --function-name {function} --query Version --output text"
    return f'aws lambda update-alias --function-name {function} --name live --function-version "$({publish})"'


def _events(stack: DeployedStack) -> str:
    return f"aws cloudformation describe-stack-events --stack-name {stack.name}"


def _drift(stack: DeployedStack) -> str:
    return f"aws cloudformation describe-stack-resource-drifts --stack-name {stack.name}"


CHECKS: dict[str, Check] = {
    "stack": _stack_status,
    "credentials": _credentials,
    "token": _token,
    "lock": _lock,
    "schedule": _schedule,
    "alarms": _alarms,
    "dead letters": _dead_letters,
    "URL permissions": _url,
    "roles": _roles,
    "live version": _settings,
}
