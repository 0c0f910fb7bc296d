"""Every alarm goes off by its own cause, and says what to do.

The built functions run against stand-ins; their metrics are taken from what they write, the metrics of Lambda
and SQS are counted as AWS counts them, and the alarms of the template are evaluated over both.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

import pytest

from scripts.template import ROOT, STACK, Stack, source
from tests.infrastructure.cloudwatch import Alarms, AlarmState, metric_key
from tests.integration.world import Stage
from tests.kit.personr.scenarios import Scenario, redirect
from tests.kit.runtime import LambdaFunction, Result
from tests.kit.secrets_manager.server import ACCOUNT_ID
from token_vending.audit import AuditEvent
from token_vending.history import LONGEST_PAUSE, MOST_CALLER_MINTS
from token_vending.refreshing import Outcome, Report
from token_vending_ops.checks.secrets import EXPIRES_SOON

MINUTE = timedelta(minutes=1)
TICK = timedelta(minutes=15)
DAY_SECONDS = 86_400
ATTEMPTS = 3
BROKEN_VENDOR: Scenario = redirect("https://elsewhere.example/")
"""Fails at once, where an outage would be tried again and again."""
ESCALATIONS = {"TokenExpiresSoonAlarm", "TokenMissingAlarm"}
"""They call by themselves, whatever has called before."""


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack()


class Night:
    """A stack in its account over simulated hours: the functions are real, the platform is imitated."""

    def __init__(self, stack: Stack, environment: Mapping[str, str] | None = None) -> None:
        self.world = Stage(environment={"STACK_NAME": STACK, **(environment or {})})
        self.alarms = Alarms(stack)
        self.now = datetime(2026, 11, 24, tzinfo=UTC)
        self._read: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.world.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.world.__exit__(None, None, None)

    def tick(self, **event: Any) -> Result:
        """An asynchronous event: tried three times, then put aside."""
        for _ in range(ATTEMPTS - 1):
            if (result := self._invoked(self.world.refresh, "RefreshFunction", event)).ok:
                return result
        result = self._invoked(self.world.refresh, "RefreshFunction", event)
        if not result.ok:
            self.count("AWS/SQS", "NumberOfMessagesSent", {"QueueName": "${RefreshFailureQueue.QueueName}"})
        return result

    def killed_run(self) -> None:
        """A run that ends by time or memory: Lambda counts it, and our code has no say any more."""
        self._count_of_lambda("RefreshFunction", "Invocations")
        self._count_of_lambda("RefreshFunction", "Errors")

    def ask(self, event: Mapping[str, Any] | None = None) -> Result:
        """A request for the token, direct or over HTTP."""
        event = event or {}
        alias = "url" if "requestContext" in event else "live"
        result = self._invoked(self.world.vend, "VendFunction", event, alias)
        if alias == "url" and result.payload["statusCode"] >= 500:
            self._count_of_lambda("VendFunction", "Url5xxCount", alias)
        return result

    def ask_often(self, event: Mapping[str, Any], times: int = 2) -> None:
        """Ten requests every five minutes."""
        for _ in range(times):
            for _ in range(10):
                self.ask(event)
            self.pass_time(5 * MINUTE)

    def lose_the_store(self) -> None:
        self.world.secrets.refuse("GetSecretValue", "AccessDeniedException")
        self.world.vend.go_cold()

    def count(self, namespace: str, name: str, dimensions: Mapping[str, str]) -> None:
        self.alarms.metrics.add(metric_key(namespace, name, dimensions), 1, self.now)

    def throttle(self, alias: str) -> None:
        """Lambda turns a request away before our code sees it."""
        self._count_of_lambda("VendFunction", "Throttles", alias)

    def pass_time(self, duration: timedelta) -> None:
        until = self.now + duration
        while self.now < until:
            self.now += MINUTE
            self.alarms.evaluate(self.now)

    def quiet_hour(self) -> None:
        for _ in range(4):
            assert self.tick().ok
            self.pass_time(TICK)
        assert self.alarms.in_alarm() == set()

    def _invoked(
        self, function: LambdaFunction, name: str, event: Mapping[str, Any], alias: str = "live"
    ) -> Result:
        result = function.invoke(dict(event), qualifier=alias)
        # A run that the hand-out has started belongs to this moment, however long this machine takes for it.
        self.world.lambda_service.settle()
        for which in (self.world.refresh, self.world.vend):
            lines = which.logs.splitlines()
            self.alarms.metrics.add_embedded(lines[self._read.get(which.name, 0) :], at=self.now)
            self._read[which.name] = len(lines)
        self._count_of_lambda(name, "Invocations", alias)
        if not result.ok:
            self._count_of_lambda(name, "Errors", alias)
        return result

    def _count_of_lambda(self, function: str, name: str, alias: str = "live") -> None:
        """Lambda counts for the alias, and for the function as a whole."""
        whole = {"FunctionName": f"${{{function}}}"}
        for dimensions in (whole, whole | {"Resource": f"${{{function}}}:{alias}"}):
            self.count("AWS/Lambda", name, dimensions)


@pytest.fixture
def night(stack: Stack) -> Iterator[Night]:
    with Night(stack) as night:
        yield night


def http_event(name: str, role: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / name).read_text())
    session = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{role}/session"
    event["requestContext"]["authorizer"]["iam"]["userArn"] = session
    return event


# ------------------------------------------------------------------------------------------ causes and alarms


def fails_once(night: Night) -> None:
    night.world.vendor.script(BROKEN_VENDOR)
    # The first attempt fails, Lambda's retry does not.
    assert night.tick(force=True).payload["outcome"] == "refreshed"


def fails_at_an_age_of(days: int, night: Night) -> None:
    night.world.age_token(days * DAY_SECONDS)
    night.world.vendor.always(BROKEN_VENDOR)
    assert not night.tick().ok


def is_refused(night: Night) -> None:
    night.world.vendor.set_password("changed by somebody")
    night.world.age_token(22 * DAY_SECONDS)
    assert night.tick().payload["outcome"] == "refused"


def loses_a_tick(night: Night) -> None:
    night.count("AWS/SQS", "NumberOfMessagesSent", {"QueueName": "${ScheduleFailureQueue.QueueName}"})


FAILED, DEAD = "RefreshFailedAlarm", "RefreshDeadLettersAlarm"


CAUSES: dict[str, tuple[Callable[[Night], None], set[str]]] = {
    "one failed refresh": (fails_once, {FAILED}),
    # A run that is ended by time or memory leaves no metric of ours.
    "a refresh that is killed": (Night.killed_run, {FAILED}),
    "an event is put aside": (partial(fails_at_an_age_of, 22), {FAILED, DEAD}),
    "a fortnight is left": (partial(fails_at_an_age_of, 355), {FAILED, DEAD, "TokenExpiresSoonAlarm"}),
    "credentials are refused": (is_refused, {FAILED, "CredentialsLatchedAlarm"}),
    "a tick is put aside": (loses_a_tick, {"ScheduleDeadLettersAlarm"}),
    "throttled at live": (partial(Night.throttle, alias="live"), {"VendThrottledAlarm"}),
    "throttled at url": (partial(Night.throttle, alias="url"), {"VendThrottledAlarm"}),
}


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_sets_off_its_alarm_and_no_other(night: Night, name: str) -> None:
    cause, alarms = CAUSES[name]
    night.quiet_hour()
    cause(night)
    night.pass_time(MINUTE)
    composite = "HandOutTroubleAlarm" if "VendThrottledAlarm" in alarms else "TokenTroubleAlarm"
    assert night.alarms.in_alarm() == alarms | {composite}


def test_refresh_not_succeeding_goes_off_after_two_failed_ticks(night: Night) -> None:
    night.quiet_hour()
    night.world.age_token(22 * DAY_SECONDS)
    night.world.vendor.always(BROKEN_VENDOR)
    for _ in range(2):
        assert "RefreshNotSucceedingAlarm" not in night.alarms.in_alarm()
        assert not night.tick().ok
        night.pass_time(TICK)
    assert "RefreshNotSucceedingAlarm" in night.alarms.in_alarm()


def test_no_tick_goes_off_after_four_silent_periods(night: Night) -> None:
    night.quiet_hour()
    # CloudWatch looks two periods further back for real data before it counts missing ones.
    night.pass_time(4 * TICK)
    assert "NoTickAlarm" in night.alarms.in_alarm()


def test_token_missing_goes_off_when_the_first_refresh_fails(night: Night) -> None:
    night.world.vendor.always(BROKEN_VENDOR)
    assert not night.tick().ok
    night.pass_time(MINUTE)
    assert "TokenMissingAlarm" in night.alarms.in_alarm()


def test_foreign_minter_goes_off_at_the_first_report_beyond_the_hours_limit_of_mints(stack: Stack) -> None:
    with Night(stack, {"MIN_AGE_SECONDS": "0"}) as night:
        night.quiet_hour()
        for death in range(1 + MOST_CALLER_MINTS[0][1]):
            assert "ForeignMinterAlarm" not in night.alarms.in_alarm()
            assert night.tick(id=f"death-{death}", rejected_version=night.world.version).ok
            night.pass_time(MINUTE)
        assert "ForeignMinterAlarm" in night.alarms.in_alarm()


def test_denials_goes_off_at_the_eleventh_refused_request_in_five_minutes(night: Night) -> None:
    night.quiet_hour()
    event = http_event("http-vend.json", "stranger")
    for _ in range(10):
        assert night.ask(event).payload["statusCode"] == 403
    night.pass_time(MINUTE)
    assert night.alarms.in_alarm() == set()
    night.ask(event)
    night.pass_time(MINUTE)
    assert night.alarms.in_alarm() == {"DenialsAlarm", "HandOutTroubleAlarm"}


@pytest.mark.parametrize("queue", ["RefreshFailureQueue", "ScheduleFailureQueue"])
def test_a_dead_letters_alarm_sees_a_message_that_cloudwatch_reports_fifteen_minutes_late(
    night: Night, queue: str
) -> None:
    """Up to 15 minutes: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/monitoring-using-cloudwatch.html"""
    night.quiet_hour()
    sent = night.now
    night.pass_time(15 * MINUTE)
    assert night.tick().ok
    key = metric_key("AWS/SQS", "NumberOfMessagesSent", {"QueueName": f"${{{queue}.QueueName}}"})
    for minute in range(16):
        night.alarms.metrics.add(key, 1 if minute == 0 else 0, sent + minute * MINUTE)
    night.pass_time(MINUTE)
    alarm = queue.replace("FailureQueue", "DeadLettersAlarm")
    assert night.alarms.in_alarm() == {alarm, "TokenTroubleAlarm"}


def test_before_the_first_tick_the_alarms_that_take_silence_for_a_failure_go_off(night: Night) -> None:
    """No alarm can tell a stack that is minutes old from a dead one; the operations page says so."""
    night.pass_time(MINUTE)
    assert night.alarms.in_alarm() == {"NoTickAlarm", "RefreshNotSucceedingAlarm", "TokenTroubleAlarm"}
    page = (ROOT / "docs" / "operations.md").read_text()
    (sentence,) = re.findall(r"^Before the first tick, .*$", page, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", sentence)) == {"no-tick", "refresh-not-succeeding"}
    assert night.tick().ok
    night.pass_time(MINUTE)
    assert night.alarms.in_alarm() == set()
    assert [name for _, name in night.alarms.pages()] == ["TokenTroubleAlarm"]


@pytest.mark.parametrize(
    ("alarm", "event"),
    [("VendErrorsAlarm", {}), ("VendHttpErrorsAlarm", http_event("http-vend.json", "orders-service"))],
)
def test_failing_hand_outs_set_off_the_alarm_of_their_door_and_no_other(
    night: Night, alarm: str, event: dict[str, Any]
) -> None:
    night.quiet_hour()
    night.lose_the_store()
    night.ask_often(event)
    assert night.alarms.in_alarm() == {alarm, "HandOutTroubleAlarm"}


# ------------------------------------------------------------------------------------------------- one page


def test_what_grows_out_of_a_cause_pages_again(night: Night) -> None:
    """One cause pages once, whatever it breaks. But nearing the end calls, and so does the end."""
    night.quiet_hour()
    night.world.vendor.always(BROKEN_VENDOR)
    for days, pages in (
        (22, ["TokenTroubleAlarm"]),
        (333, ["TokenTroubleAlarm", "TokenExpiresSoonAlarm"]),
        (20, ["TokenTroubleAlarm", "TokenExpiresSoonAlarm", "TokenMissingAlarm"]),
    ):
        night.world.age_token(days * DAY_SECONDS)
        for _ in range(2):
            night.tick()
            night.pass_time(TICK)
        assert [name for _, name in night.alarms.pages()] == pages


def test_a_failing_hand_out_pages_although_refreshes_fail_too(night: Night) -> None:
    night.quiet_hour()
    night.lose_the_store()
    night.tick()
    night.ask_often({})
    assert [name for _, name in night.alarms.pages()] == ["TokenTroubleAlarm", "HandOutTroubleAlarm"]


def test_without_a_token_failing_hand_outs_page_no_more(night: Night) -> None:
    night.world.vendor.always(BROKEN_VENDOR)
    for _ in range(8):
        night.tick()
        night.ask_often({}, times=3)
    assert night.alarms.in_alarm() >= {"TokenMissingAlarm", "RefreshFailedAlarm", "VendErrorsAlarm"}
    assert {name for _, name in night.alarms.pages()} == {"TokenTroubleAlarm", *ESCALATIONS}
    assert len(night.alarms.pages()) == 3, "each of them once"
    night.world.vendor.always(None)
    # The hours above were imitated, and the store has no clock of ours: its intents grow old by hand.
    for _ in range(LONGEST_PAUSE // MINUTE):
        night.world.let_lease_pass()
    night.quiet_hour()
    assert night.alarms["TokenTroubleAlarm"].state is AlarmState.OK


def test_every_metric_alarm_reaches_a_person_in_both_modes(stack: Stack) -> None:
    rules = " ".join(p["AlarmRule"] for p in stack.of_type("AWS::CloudWatch::CompositeAlarm").values())
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    by_composite = {name for name in alarms if re.search(rf'(?<!NOT )ALARM\("\$\{{{name}\}}"\)', rules)}
    by_itself = {name for name, alarm in alarms.items() if alarm.get("AlarmActions") == ["${AlarmTopic}"]}
    assert by_itself == {name for name, alarm in alarms.items() if "OKActions" in alarm} == ESCALATIONS
    assert by_composite == alarms.keys() - ESCALATIONS
    for composite in stack.of_type("AWS::CloudWatch::CompositeAlarm").values():
        assert composite["AlarmActions"] == composite["OKActions"] == ["${AlarmTopic}"]

    single = Stack({"CompositeAlarm": "false"})
    assert single.of_type("AWS::CloudWatch::CompositeAlarm") == {}
    for alarm in single.of_type("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == ["${AlarmTopic}"]


def test_an_e_mail_address_is_subscribed_only_if_there_is_one(stack: Stack) -> None:
    assert stack.of_type("AWS::SNS::Subscription") == {}
    (subscription,) = Stack({"AlarmEmail": "night@example.com"}).of_type("AWS::SNS::Subscription").values()
    wanted = {"Protocol": "email", "Endpoint": "night@example.com", "TopicArn": "${AlarmTopic}"}
    assert wanted.items() <= subscription.items()


def test_every_alarm_has_a_section_in_the_operations_page(stack: Stack) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    titles = re.findall(r"^#{2,4} (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
        for name, alarm in stack.of_type(kind).items():
            short = alarm["AlarmName"].removeprefix(f"{STACK}-")
            assert alarm["AlarmDescription"].endswith(f"docs/operations.md#{short}"), name
            assert short in anchors, name


def test_the_page_filters_the_logs_by_fields_that_the_lines_have() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    fields = set(re.findall(r"\$\.(\w+\.\w+)[.\w]* !?=", page))
    assert fields
    known = {f"audit.{name}" for name in AuditEvent._fields}
    answer = Report(Outcome.FRESH, "fresh", None).answer()
    known |= {f"refresh.{name}" for name in answer}
    # https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html#platform-report
    known |= {"record.status", "record.metrics"}
    assert fields <= known
    # With JSON logs no line says "Task timed out", "REPORT" or "Init Duration".
    assert re.findall(r"Task timed out|REPORT|(?:Init|Restore) Duration", page + architecture) == []


def test_doctor_dashboard_and_alarm_mean_the_same_fortnight(stack: Stack) -> None:
    alarm = stack.properties("TokenExpiresSoonAlarm")
    assert timedelta(seconds=int(alarm["Threshold"])) == EXPIRES_SOON
    assert f"({EXPIRES_SOON.days} days by default)" in alarm["AlarmDescription"]
    dashboard = stack.properties("Dashboard")["DashboardBody"]
    assert f'{{"label": "alarm", "value": {EXPIRES_SOON.days},' in dashboard
    page = (ROOT / "docs" / "operations.md").read_text()
    assert f"fewer than {EXPIRES_SOON.days} days are left" in page
    renewed = source()["Parameters"]["RenewBeforeDays"]
    assert renewed["MinValue"] > EXPIRES_SOON.days
    assert f"fewer than {EXPIRES_SOON.days} days are left" in re.sub(r"\s+", " ", renewed["Description"])
