"""Log lines, audit lines and metrics, through Powertools: the only module that knows it.

Metrics: namespace TokenVending, one dimension `stack`, CloudWatch's embedded metric format on stdout.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from token_vending.audit import AuditEvent, Outcome
from token_vending.errors import CredentialsRefused, TokenVendingError
from token_vending.settings import stack_name
from token_vending.token import utc_now

if TYPE_CHECKING:
    from token_vending.refreshing import Report
    from token_vending.token import Token

NAMESPACE = "TokenVending"

_ONE_HAND_OUT: dict[str, object] = {
    name: {"Unit": MetricUnit.Count.value, "Value": [1.0]} for name in ("TokenVended", "VendCacheHit")
}
"""What `Metrics.add_metric` would have gathered."""
_as_json = json.JSONEncoder(separators=(",", ":")).encode

# At DEBUG these write whole requests, secrets included, to whatever handler the root logger has.
for _name in ("botocore", "boto3", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# At WARNING this one repeats what the endpoint for keys has answered. What came of it is told by our own lines.
logging.getLogger("botocore.credentials").setLevel(logging.CRITICAL)


class _Telemetry:
    """Around one invocation, `with telemetry.run(request_id)`: its metrics leave at the end."""

    def __init__(self, function: str) -> None:
        self._log = Logger(service=function)
        self._metrics = Metrics(namespace=NAMESPACE)
        self.stack = stack_name(os.environ)
        self._metrics.set_default_dimensions(stack=self.stack)
        self._request_id = ""

    def run(self, request_id: str) -> Self:
        """The next invocation, whose lines carry this id."""
        self._request_id = request_id
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._metrics.metric_set:
            self._metrics.flush_metrics()

    def _count(self, name: str, value: float = 1) -> None:
        self._metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


class RefreshTelemetry(_Telemetry):
    """What the refresh function tells: one line and its metrics a run."""

    def __init__(self) -> None:
        super().__init__("refresh")
        self.has_read = False
        self.current: Token | None = None

    def run(self, request_id: str) -> Self:
        """As for every function; a run that knows what the token has left tells it, failed or not."""
        self.has_read, self.current = False, None
        self._log.append_keys(request_id=request_id)
        return super().run(request_id)

    def __exit__(self, *raised: object) -> None:
        if self.has_read:
            left = self.current.remaining(utc_now()).total_seconds() if self.current is not None else 0.0
            self._metrics.add_metric(
                name="TokenSecondsToExpiry", unit=MetricUnit.Seconds, value=max(0.0, left)
            )
        super().__exit__(*raised)

    def seen(self, current: "Token | None") -> None:
        """Takes note of the token that the store holds."""
        self.has_read, self.current = True, current

    def done(self, report: "Report") -> None:
        """One line, the warnings before it, and the metrics of a run that did not fail."""
        for warning in report.warnings:
            self._log.warning(warning)
        token = report.token
        self._log.info(
            "refresh", refresh=report.answer(), fingerprint=token.fingerprint if token is not None else None
        )
        if report.outcome == "refreshed":
            self._count("TokenRefreshed")
        if report.outcome == "refused":
            self._count("CredentialsLatched")
        if report.reason == "foreign_minter":
            self._count("ForeignMinter")
        self.seen(token)
        # Zeros between the failures: whether any run succeeds can be told from this one metric.
        self._count("RefreshFailed", 0)

    def failed(self, error: TokenVendingError) -> None:
        """The metrics of a run that raises, and what went wrong beside it; the runtime writes the error's line."""
        for note in getattr(error, "__notes__", ()):
            self._log.warning(note)
        self._count("RefreshFailed")
        if isinstance(error, CredentialsRefused):
            self._count("CredentialsLatched")

    def not_announced(self, events: Iterable[str], problem: str) -> None:
        """Events of a run that may not have been delivered: what they tell is in the log and the metrics too."""
        self._log.warning("events were not delivered", events=list(events), problem=problem)


class VendTelemetry(_Telemetry):
    """What the vend function tells: one audit line and its metrics a request."""

    def __init__(self, unmatchable_patterns: Iterable[str] = ()) -> None:
        super().__init__("vend")
        # Powertools gives the metrics their form, once: the moment and the hit are all that differs.
        self._one_hand_out = self._metrics.serialize_metric_set(metrics=_ONE_HAND_OUT)
        for pattern in unmatchable_patterns:
            self._log.warning(
                "this pattern of AllowedCallers matches no assumed-role session, whose ARN does not show the "
                "role's path: name the role in full",
                pattern=pattern,
            )

    def audit(self, event: AuditEvent) -> None:
        """The audit line and the metrics that follow from it."""
        given = event.outcome in (Outcome.HANDED_OUT, Outcome.NOT_MODIFIED)
        if given and event.warning is None and event.rejected_version is None:
            self._one_line(event)
            return
        self._log.append_keys(request_id=self._request_id)
        write = self._log.info if given and event.warning is None else self._log.warning
        write("audit", audit=event.as_dict())
        if given:
            self._count("TokenVended")
            self._count("VendCacheHit", 1 if event.cache_hit else 0)
        if event.outcome is Outcome.DENIED:
            self._count("VendDenied")
        if event.rejected_version is not None:
            self._count("TokenRejected")

    def _one_line(self, event: AuditEvent) -> None:
        """The ordinary hand-out's audit and metrics as one line: a third of the work of a line each
        (docs/evidence/performance.md), and one write instead of four.
        The audit lies beside the metrics, under the names by which the Logger's lines are found.
        """
        self._one_hand_out["_aws"]["Timestamp"] = int(time.time() * 1000)
        line = {
            **self._one_hand_out,
            "VendCacheHit": [1.0 if event.cache_hit else 0.0],
            "level": "INFO",
            "message": "audit",
            "request_id": self._request_id,
            "audit": event.as_dict(),
        }
        sys.stdout.write(_as_json(line) + "\n")
