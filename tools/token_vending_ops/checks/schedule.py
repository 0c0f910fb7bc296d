"""The schedule, its last tick, and what could not be delivered."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from token_vending_ops import commands
from token_vending_ops.deployed import DeployedStack
from token_vending_ops.findings import CRITICAL, OK, WARNING, Finding, ago

LATE_TICKS = 3


def schedule(stack: DeployedStack, now: datetime) -> Iterator[Finding]:
    """It is enabled, starts the alias, and has done so lately."""
    name = stack.resources["Schedule"]
    schedule = stack.client("scheduler").get_schedule(Name=name)
    if schedule.get("State", "ENABLED") != "ENABLED":
        yield Finding("schedule", CRITICAL, "disabled: nothing renews the token", commands.enable(name))
    elif not schedule["Target"]["Arn"].endswith(f":{stack.outputs['RefreshFunctionName']}:live"):
        saw = "its target is not the refresh function's alias"
        yield Finding("schedule", CRITICAL, saw, commands.drift(stack))
    else:
        yield Finding("schedule", OK, f"enabled, {schedule['ScheduleExpression']}")
    yield last_tick(stack, now)


def last_tick(stack: DeployedStack, now: datetime) -> Finding:
    """From the log's lines, which can be read seconds after they were written.

    A stream's `lastEventTimestamp` would be one call, but it is eventually consistent: AWS updates it "typically
    in less than an hour".
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogStream.html
    """
    log, logs = f"/aws/lambda/{stack.name}/refresh", stack.client("logs")
    window = LATE_TICKS * timedelta(seconds=int(stack.parameters["SchedulePeriodSeconds"]))
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=log, startTime=int((now - window).timestamp() * 1000)
    )
    newest = max((event["timestamp"] for page in pages for event in page["events"]), default=None)
    if newest is not None:
        last = datetime.fromtimestamp(newest / 1000, UTC)
        return Finding("last tick", OK, f"{ago(now - last)} ago")
    if not logs.describe_log_streams(logGroupName=log, limit=1)["logStreams"]:
        return Finding("last tick", WARNING, "the refresh function has never run", commands.tick(stack))
    return Finding("last tick", CRITICAL, f"more than {ago(window)} ago", commands.tick(stack))


def dead_letters(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    """Both queues of events that were put aside are empty."""
    queues = stack.client("sqs")
    for name in ("RefreshFailureQueue", "ScheduleFailureQueue"):
        url = stack.resources[name]
        attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        count = int(attributes["Attributes"]["ApproximateNumberOfMessages"])
        command = f"aws sqs receive-message --queue-url {url}" if count else ""
        yield Finding("dead letters", WARNING if count else OK, f"{count} in {name}", command)
