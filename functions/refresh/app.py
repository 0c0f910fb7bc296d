"""Mints when a mint is due: on a schedule, and when a caller reports a dead token."""

from token_vending import quick_start

# isort: split
from contextlib import suppress
from functools import cache
from typing import Any

from token_vending.announcements import Events, after_failure, after_run
from token_vending.errors import ConfigurationError, TokenVendingError
from token_vending.refreshing import Refresher
from token_vending.requests import RefreshRequest
from token_vending.telemetry import RefreshTelemetry
from token_vending.token import utc_now
from token_vending.wiring import build_event_bus, build_refresher

telemetry = RefreshTelemetry()
SECONDS_TO_ANNOUNCE_IN = 5.0
"""With fewer left a slow bus could have the run killed, which then looked as if it had failed."""


@cache
def refresher() -> Refresher:
    """Raises ConfigurationError for a bad setting."""
    built = build_refresher()
    built.seen = telemetry.seen
    return built


# Now, while the processor is not yet shared out by memory. A bad setting is an error of the run all the same: with
# an error type, a retry, a dead letter and an alarm.
with suppress(ConfigurationError):
    refresher()
quick_start.over()


def handler(event: Any, context: Any) -> dict[str, str | None]:  # noqa: ANN401
    """One run; `{"outcome", "version", "expires_at", "reason"}`. Raises the errors of `token_vending.errors`."""

    def seconds_left() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    with telemetry.run(context.aws_request_id):
        try:
            request = RefreshRequest.parse(event, default_id=context.aws_request_id)
            report = refresher().run(request, seconds_left)
        except TokenVendingError as error:
            telemetry.failed(error)
            _announce(
                after_failure(
                    error, telemetry.current, telemetry.stack, utc_now(), has_read=telemetry.has_read
                ),
                seconds_left(),
            )
            raise error.on_the_wire() from None
        telemetry.done(report)
        _announce(after_run(report, telemetry.stack, utc_now()), seconds_left())
        return report.answer()


def _announce(events: Events, seconds_left: float) -> None:
    if not events:
        return
    bus = build_event_bus()
    if bus is None:
        return
    problem = bus.put(events) if seconds_left >= SECONDS_TO_ANNOUNCE_IN else "no time left"
    if problem is not None:
        telemetry.not_announced(tuple(events), problem)
