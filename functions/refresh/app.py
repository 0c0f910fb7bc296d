"""Mints when a mint is due: on a schedule, and when a caller reports a dead token."""

from token_vending import quick_start

# isort: split
from contextlib import suppress
from functools import cache
from typing import Any

from token_vending.errors import ConfigurationError, TokenVendingError
from token_vending.refreshing import Refresher
from token_vending.requests import RefreshRequest
from token_vending.telemetry import RefreshTelemetry
from token_vending.wiring import build_refresher

telemetry = RefreshTelemetry()


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
    with telemetry.run(context.aws_request_id):
        try:
            request = RefreshRequest.parse(event, default_id=context.aws_request_id)
            report = refresher().run(request, lambda: context.get_remaining_time_in_millis() / 1000)
        except TokenVendingError as error:
            telemetry.failed(error)
            raise error.on_the_wire() from None
        telemetry.done(report)
        return report.answer()
