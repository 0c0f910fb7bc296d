"""Which versions of the functions were live when, as CloudFormation remembers it.

A published version may never have been live: a deployment that fails leaves its versions behind. What was live is
what a deployment published that ended well, and CloudFormation keeps those events for 90 days.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from token_vending_ops import commands
from token_vending_ops.checks.access import doors_of
from token_vending_ops.deployed import DeployedStack

STACK, VERSION = "AWS::CloudFormation::Stack", "AWS::Lambda::Version"
ENDED_WELL = {"CREATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"}


@dataclass(frozen=True)
class Release:
    """A deployment that ended well: when, and the version of each function (by its name) from then on."""

    at: datetime
    versions: Mapping[str, str]


def releases(stack: DeployedStack) -> list[Release]:
    """Of the last 90 days, oldest first."""
    pages = (
        stack.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack.name)
    )
    events = [event for page in pages for event in page["StackEvents"]]
    return read(reversed(events))


def read(events: Iterable[Mapping[str, Any]]) -> list[Release]:
    """From a stack's events, oldest first. Deployments that published no version are left out."""
    found: list[Release] = []
    live: dict[str, str] = {}
    published: dict[str, str] = {}
    for event in events:
        status = event["ResourceStatus"]
        if event["ResourceType"] == VERSION and status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            _, _, name = event["PhysicalResourceId"].partition(":function:")
            function, _, version = name.partition(":")
            published[function] = version
        elif event["ResourceType"] == STACK:
            if status in ENDED_WELL and published:
                live = live | published
                found.append(Release(event["Timestamp"], live))
            # A rollback's own events say nothing of what was live.
            published = {}
    return found


def as_table(found: Iterable[Release]) -> str:
    """For a person, the latest last."""
    lines = [
        f"{release.at:%Y-%m-%d %H:%M}  " + "  ".join(f"{n}:{v}" for n, v in sorted(release.versions.items()))
        for release in found
    ]
    return "\n".join(lines) + "\n"


def roll_back(stack: DeployedStack, found: list[Release]) -> list[str]:
    """The commands that put the aliases back on the release before the last one; none if there is none."""
    if len(found) < 2:  # noqa: PLR2004
        return []
    before = found[-2].versions
    aliases = {"RefreshFunctionName": ["live"], "VendFunctionName": [door.alias for door in doors_of(stack)]}
    return [
        f"{commands.move_alias(stack.outputs[output], alias)} {before[stack.outputs[output]]}"
        for output, names in aliases.items()
        if stack.outputs[output] in before
        for alias in names
    ]
