"""The checks. Each looks at one thing from outside, changes nothing, and shows no secret."""

import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from token_vending_ops.deployed import DeployedStack
from token_vending_ops.findings import Finding, Severity

LEASE = timedelta(seconds=55)
EXPIRES_SOON = timedelta(days=14)
LATE_TICKS = 3
OWN_POLICIES = {"RefreshRole": "refresh", "VendRole": "vend", "ScheduleRole": "schedule"}
URL_ACTIONS = {"lambda:InvokeFunction", "lambda:InvokeFunctionUrl"}

type Check = Callable[[DeployedStack, datetime], Iterator[Finding]]


def examine(stack: DeployedStack, now: datetime | None = None) -> list[Finding]:
    """Every check's findings. A check that AWS refuses is a finding itself, and stops no other."""
    now = now or datetime.now(UTC)
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check(stack, now)
        except (ClientError, BotoCoreError) as error:
            findings.append(Finding(name, Severity.UNKNOWN, f"AWS refused to tell: {_reason(error)}"))
    return findings


def _reason(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error.response['Error']['Code']}"
    return type(error).__name__


def _stack_status(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    healthy = stack.status.endswith("_COMPLETE") and "ROLLBACK" not in stack.status
    yield Finding(
        "stack",
        Severity.OK if healthy else Severity.WARNING,
        f"its status is {stack.status}",
        "" if healthy else f"aws cloudformation describe-stack-events --stack-name {stack.name}",
    )


def _credentials(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    arn = stack.outputs["CredentialsSecretArn"]
    mend = f"aws secretsmanager put-secret-value --secret-id {arn} --secret-string file://credentials.json"
    manager = stack.client("secretsmanager")
    try:
        answer = manager.get_secret_value(SecretId=arn)
    except manager.exceptions.ResourceNotFoundException:
        yield Finding("credentials", Severity.CRITICAL, "not set", mend)
        return
    fault = credentials_fault(answer.get("SecretString", ""))
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


def credentials_fault(text: str) -> str:
    """What is wrong with the credentials secret's content, without a word of it; empty if nothing is."""
    try:
        content = json.loads(text)
    except ValueError:
        return "not JSON"
    if not isinstance(content, dict):
        return "not a JSON object"
    email = content.get("email", content.get("username"))
    if not isinstance(email, str) or not email:
        return "the field 'email' is missing"
    if ":" in email:
        return "the field 'email' has a colon in it"
    password = content.get("password")
    if not isinstance(password, str) or not password:
        return "the field 'password' is missing"
    return ""


def _schedule(stack: DeployedStack, now: datetime) -> Iterator[Finding]:
    name = stack.resources["Schedule"]
    schedule = stack.client("scheduler").get_schedule(Name=name)
    if schedule.get("State", "ENABLED") != "ENABLED":
        yield Finding(
            "schedule",
            Severity.CRITICAL,
            "disabled: nothing renews the token; how to enable it: docs/operations.md#no-tick",
            f"aws scheduler get-schedule --name {name}",
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
        yield Finding("token", Severity.CRITICAL, "there is none yet", _tick(stack))
        return
    yield judge_token(answer.get("SecretString", ""), now, mend=_force(stack))


def judge_token(text: str, now: datetime, *, mend: str) -> Finding:
    """The finding for the current version's content, of which only the times are shown."""
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        return Finding("token", Severity.CRITICAL, "the secret was overwritten with something else", mend)
    if "intent" in content:
        return Finding("token", Severity.CRITICAL, "there is none yet, only the intent to mint one", mend)
    try:
        issued, expires = (datetime.fromisoformat(content[name]) for name in ("issued_at", "expires_at"))
    except (KeyError, TypeError, ValueError):
        return Finding("token", Severity.CRITICAL, "the secret was overwritten with something else", mend)
    left = expires - now
    saw = f"minted {_ago(now - issued)} ago because of {content.get('reason')}, expires in {_ago(left)}"
    if left <= timedelta(0):
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
    manager = stack.client("secretsmanager")
    content = json.loads(manager.get_secret_value(SecretId=arn, VersionId=holder)["SecretString"])
    started = content.get("started_at")
    age = now - datetime.fromisoformat(started) if started else LEASE
    current = labels.get("AWSCURRENT")
    run = None
    if current is not None and current != holder:
        token = json.loads(manager.get_secret_value(SecretId=arn, VersionId=current)["SecretString"])
        run = token.get("run")
    if run is not None and run == content.get("intent"):
        return Finding("lock", Severity.OK, "left behind by a finished run; the next tick takes it off")
    if age < LEASE:
        return Finding("lock", Severity.OK, f"held by a run that began {_ago(age)} ago")
    return Finding(
        "lock",
        Severity.WARNING,
        f"left by a run that died {_ago(age)} ago and may have minted; the next tick takes it over",
        _tick(stack),
    )


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
            _drift(stack),
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


def _publish(function: str) -> str:
    publish = f"aws lambda publish-version --function-name {function} --query Version --output text"
    return f'aws lambda update-alias --function-name {function} --name live --function-version "$({publish})"'


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
