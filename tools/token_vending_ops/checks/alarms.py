"""Which alarms are in ALARM, and whether they reach somebody."""

from collections.abc import Iterator
from datetime import datetime

from token_vending_ops.deployed import DeployedStack
from token_vending_ops.findings import CRITICAL, OK, WARNING, Finding


def alarms(stack: DeployedStack, _now: datetime) -> Iterator[Finding]:
    """No alarm of the stack is in ALARM, and somebody is subscribed."""
    # Without AlarmTypes the answer holds no composite alarm, and those are the ones that page.
    pages = (
        stack.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(
            StateValue="ALARM", AlarmNamePrefix=f"{stack.name}-", AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
    )
    ours = set(stack.resources.values())
    in_alarm = sorted(
        alarm["AlarmName"]
        for page in pages
        for alarm in (*page.get("MetricAlarms", []), *page.get("CompositeAlarms", []))
        if alarm["AlarmName"] in ours
    )
    for name in in_alarm:
        anchor = name.removeprefix(f"{stack.name}-")
        yield Finding("alarms", CRITICAL, f"{name} is in ALARM: docs/operations.md#{anchor}")
    if not in_alarm:
        yield Finding("alarms", OK, "none is in ALARM")
    yield _subscribers(stack)


def _subscribers(stack: DeployedStack) -> Finding:
    # An existing topic, or the stack's own.
    topic = stack.parameters.get("AlarmTopicArn") or stack.resources["AlarmTopic"]
    subscriptions = stack.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    confirmed = [s for s in subscriptions if s["SubscriptionArn"].startswith("arn:")]
    if confirmed:
        return Finding("alarm topic", OK, f"{len(confirmed)} confirmed subscriptions")
    waiting = " (one waits for its confirmation)" if subscriptions else ""
    saw = f"nobody is subscribed{waiting}: alarms reach no one"
    command = (
        f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint you@example.com"
    )
    return Finding("alarm topic", WARNING, saw, command)
