"""Which versions were live, read from CloudFormation's events."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.operations.test_checks import Account
from token_vending_ops.releases import Release, as_table, read, roll_back

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def events(*told: tuple[str, str]) -> list[dict[str, Any]]:
    """("stack", status) or ("vend:7", status), a minute apart."""
    return [
        {
            "ResourceType": "AWS::CloudFormation::Stack" if what == "stack" else "AWS::Lambda::Version",
            "PhysicalResourceId": f"arn:aws:lambda:eu-west-1:123456789012:function:{what}",
            "ResourceStatus": status,
            "Timestamp": NOW + timedelta(minutes=minute),
        }
        for minute, (what, status) in enumerate(told)
    ]


CREATED = (
    ("stack", "CREATE_IN_PROGRESS"),
    ("vend:1", "CREATE_COMPLETE"),
    ("refresh:1", "CREATE_COMPLETE"),
    ("stack", "CREATE_COMPLETE"),
)
FAILED = (
    ("stack", "UPDATE_IN_PROGRESS"),
    ("vend:2", "CREATE_COMPLETE"),
    ("refresh:2", "UPDATE_COMPLETE"),
    ("stack", "UPDATE_ROLLBACK_IN_PROGRESS"),
    ("refresh:1", "UPDATE_COMPLETE"),
    ("stack", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"),
)
UPDATED = (
    ("vend:3", "CREATE_COMPLETE"),
    ("stack", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
    ("vend:1", "DELETE_SKIPPED"),
    ("stack", "UPDATE_COMPLETE"),
)
WITHOUT_A_VERSION = (("stack", "UPDATE_IN_PROGRESS"), ("stack", "UPDATE_COMPLETE"))


def test_a_version_of_a_deployment_that_was_rolled_back_was_never_live() -> None:
    found = read(events(*CREATED, *FAILED, *UPDATED, *WITHOUT_A_VERSION))
    assert [release.versions for release in found] == [
        {"vend": "1", "refresh": "1"},
        {"vend": "3", "refresh": "1"},
    ]


def test_rolling_back_moves_every_alias_to_the_release_before_the_last() -> None:
    found = read(events(*CREATED, *FAILED, *UPDATED))
    move = "aws lambda update-alias --function-name"
    assert roll_back(Account(), found) == [
        f"{move} refresh --name live --function-version 1",
        f"{move} vend --name live --function-version 1",
        f"{move} vend --name url --function-version 1",
    ]
    assert roll_back(Account(), found[:1]) == []
    assert len(roll_back(Account(UrlDoor="false"), found)) == 2


def test_the_releases_are_told_with_their_times() -> None:
    assert as_table([Release(NOW, {"vend": "7", "refresh": "6"})]) == "2026-11-24 12:00  refresh:6  vend:7\n"
