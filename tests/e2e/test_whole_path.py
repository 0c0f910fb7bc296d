"""From the schedule to the caller, on the deployed template."""

import json

import pytest

from tests.kit.stack import EmbeddedStack, Version

HEALED_WITHIN_SECONDS = 30.0
# The first test waits for a deployment and for a schedule of one minute.
pytestmark = pytest.mark.timeout(240)


def current(stack: EmbeddedStack) -> Version:
    return next(version for version in stack.versions() if "AWSCURRENT" in version.labels)


def test_the_schedule_mints_the_first_token_by_itself(minted: EmbeddedStack) -> None:
    lines = [json.loads(line) for line in minted.log_lines("refresh") if '"refresh":{' in line]
    # What comes after it, other tests may have caused.
    assert (lines[0]["refresh"]["outcome"], lines[0]["refresh"]["reason"]) == ("refreshed", "no_token")
    assert current(minted).alive


def test_a_token_killed_elsewhere_is_healed_by_the_caller_that_finds_it_dead(minted: EmbeddedStack) -> None:
    user = minted.create_user("CallerPolicyArn")
    with minted.caller(user) as caller:
        before = caller.ask("get")
        assert before["version"] == minted.current_version()
        assert caller.ask("try")["status"] == 200
        minted.personr.mint_elsewhere()
        mints = minted.personr.mint_count()
        assert caller.ask("try")["status"] == 401
        after = caller.ask("use")
        assert after["status"] == 200
        assert after["version"] != before["version"]
        assert after["seconds"] < HEALED_WITHIN_SECONDS
    assert minted.personr.mint_count() == mints + 1


def test_of_the_whole_history_only_the_current_token_is_alive(minted: EmbeddedStack) -> None:
    forced = minted.refresh({"id": "forced-for-the-history", "force": True})
    assert forced.payload["outcome"] == "refreshed"
    versions = minted.versions()
    assert [version.version_id for version in versions if version.alive] == [forced.payload["version"]]
    assert current(minted).version_id == forced.payload["version"]


def test_a_rule_on_the_default_bus_hears_of_a_refresh(minted: EmbeddedStack) -> None:
    events, queues = minted.client("events"), minted.client("sqs")
    queue = queues.create_queue(QueueName="heard")["QueueUrl"]
    attributes = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    events.put_rule(
        Name="heard", EventPattern='{"source": ["token-vending"], "detail-type": ["TokenRefreshed"]}'
    )
    events.put_targets(Rule="heard", Targets=[{"Id": "queue", "Arn": attributes["QueueArn"]}])
    forced = minted.refresh({"id": "forced-to-be-heard-of", "force": True})
    assert forced.payload["outcome"] == "refreshed"
    (message,) = minted.wait_for(
        "the event arrives", lambda: queues.receive_message(QueueUrl=queue).get("Messages"), 10
    )
    event = json.loads(message["Body"])
    assert event["resources"] == [minted.outputs["TokenSecretArn"]]
    assert {name: event["detail"][name] for name in ("stack", "version", "expires_at", "reason")} == {
        "stack": "token-vending",
        "version": forced.payload["version"],
        "expires_at": forced.payload["expires_at"],
        "reason": "forced",
    }
