import json
import logging
from typing import Any

import pytest
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from token_vending.audit import AuditEvent, Door, Outcome
from token_vending.telemetry import NAMESPACE, VendTelemetry

GIVEN = AuditEvent(Door.DIRECT, Outcome.HANDED_OUT, version="v-1", fingerprint="f00", cache_hit=True)


@pytest.fixture(autouse=True)
def _stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_NAME", "tokens")
    # Powertools sets a logger up once, with the standard output of that moment.
    logging.Logger.manager.loggerDict.pop("vend", None)
    # And its metrics are the whole process's: a test that ran before may have left a dimension.
    for left in (Metrics._metrics, Metrics._dimensions, Metrics._metadata, Metrics._default_dimensions):
        left.clear()


def lines_of(event: AuditEvent, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    telemetry = VendTelemetry()
    with telemetry.run("request-1"):
        telemetry.audit(event)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def counted(lines: list[dict[str, Any]]) -> dict[str, float]:
    return {
        metric["Name"]: line[metric["Name"]][0]
        for line in lines
        if "_aws" in line
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }


def audits(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if "audit" in line]


@pytest.mark.parametrize("hit", [True, False])
def test_an_ordinary_hand_out_is_one_line_with_audit_and_metrics(
    hit: bool,  # noqa: FBT001 - a parameter of the test
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line,) = lines_of(GIVEN._replace(cache_hit=hit), capsys)
    assert line["audit"] == {
        "door": "direct",
        "outcome": "handed_out",
        "version": "v-1",
        "fingerprint": "f00",
        "cache_hit": hit,
    }
    assert (line["level"], line["message"], line["request_id"]) == ("INFO", "audit", "request-1")
    assert counted([line]) == {"TokenVended": 1.0, "VendCacheHit": float(hit)}


def test_the_one_line_has_the_form_that_powertools_gives_the_same_metrics(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line,) = lines_of(GIVEN, capsys)
    metrics = Metrics(namespace=NAMESPACE)
    metrics.set_default_dimensions(stack="tokens")
    metrics.add_metric(name="TokenVended", unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="VendCacheHit", unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()
    usual = json.loads(capsys.readouterr().out)
    for form in (line, usual):
        del form["_aws"]["Timestamp"]
    assert line | usual == line
    assert line.keys() - usual.keys() == {"level", "message", "request_id", "audit"}


@pytest.mark.parametrize(
    ("event", "level", "metrics"),
    [
        (
            AuditEvent(Door.HTTP, Outcome.DENIED, caller="arn", error="CallerNotAllowed"),
            "WARNING",
            {"VendDenied": 1},
        ),
        (AuditEvent(Door.HTTP, Outcome.INVALID, error="InvalidRequest"), "WARNING", {}),
        (GIVEN._replace(warning="old"), "WARNING", {"TokenVended": 1, "VendCacheHit": 1}),
        (
            GIVEN._replace(rejected_version="v-0"),
            "INFO",
            {"TokenVended": 1, "VendCacheHit": 1, "TokenRejected": 1},
        ),
        (
            AuditEvent(Door.DIRECT, Outcome.UNAVAILABLE, rejected_version="v-1", error="TokenUnavailable"),
            "WARNING",
            {"TokenRejected": 1},
        ),
    ],
)
def test_everything_else_has_a_line_of_its_own_at_its_level(
    event: AuditEvent, level: str, metrics: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_of(event, capsys)
    (audit,) = audits(lines)
    assert audit["audit"] == event.as_dict()
    assert audit["level"] == level
    assert audit["request_id"] == "request-1"
    assert counted(lines) == metrics


def test_a_request_without_metrics_writes_its_audit_line_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(lines_of(AuditEvent(Door.HTTP, Outcome.INVALID, error="InvalidRequest"), capsys)) == 1


def test_metrics_of_one_request_do_not_show_up_in_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = VendTelemetry()
    with telemetry.run("request-1"):
        telemetry.audit(AuditEvent(Door.HTTP, Outcome.DENIED, error="CallerNotAllowed"))
    capsys.readouterr()
    with telemetry.run("request-2"):
        telemetry.audit(GIVEN)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert counted(lines) == {"TokenVended": 1, "VendCacheHit": 1}
