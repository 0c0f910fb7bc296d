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


def test_an_ordinary_hand_out_is_one_line_of_the_form_that_powertools_gives_the_same_metrics(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line,) = lines_of(GIVEN, capsys)
    assert line["audit"] == GIVEN.as_dict()
    assert (line["level"], line["message"], line["request_id"]) == ("INFO", "audit", "request-1")
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


HANDED_OUT = {"TokenVended": 1, "VendCacheHit": 1}


@pytest.mark.parametrize(
    ("event", "level", "lines", "metrics"),
    [
        (GIVEN, "INFO", 1, HANDED_OUT),
        (GIVEN._replace(cache_hit=False), "INFO", 1, {"TokenVended": 1, "VendCacheHit": 0}),
        (GIVEN._replace(warning="old"), "WARNING", 2, HANDED_OUT),
        (GIVEN._replace(rejected_version="v-0"), "INFO", 2, {**HANDED_OUT, "TokenRejected": 1}),
        (AuditEvent(Door.HTTP, Outcome.DENIED, caller="arn", error="x"), "WARNING", 2, {"VendDenied": 1}),
        (AuditEvent(Door.HTTP, Outcome.INVALID, error="InvalidRequest"), "WARNING", 1, {}),
        (
            AuditEvent(Door.DIRECT, Outcome.UNAVAILABLE, rejected_version="v-1", error="TokenUnavailable"),
            "WARNING",
            2,
            {"TokenRejected": 1},
        ),
    ],
)
def test_each_request_leaves_one_audit_line_at_its_level_and_its_metrics(
    event: AuditEvent,
    level: str,
    lines: int,
    metrics: dict[str, float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    written = lines_of(event, capsys)
    (audit,) = [line for line in written if "audit" in line]
    assert audit["audit"] == event.as_dict()
    assert (audit["level"], audit["request_id"]) == (level, "request-1")
    assert counted(written) == metrics
    assert len(written) == lines


def test_metrics_of_one_request_do_not_show_up_in_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = VendTelemetry()
    with telemetry.run("request-1"):
        telemetry.audit(AuditEvent(Door.HTTP, Outcome.DENIED, error="CallerNotAllowed"))
    capsys.readouterr()
    with telemetry.run("request-2"):
        telemetry.audit(GIVEN)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert counted(lines) == {"TokenVended": 1, "VendCacheHit": 1}
