"""Hands the token out: by direct invoke, and over HTTP."""

from token_vending import quick_start

# isort: split
import os
from typing import Any

from token_vending import doors
from token_vending.errors import ConfigurationError
from token_vending.settings import VendSettings
from token_vending.telemetry import VendTelemetry
from token_vending.wiring import build_desk

try:
    # All at init: a setting that cannot be used must fail the function's start, not let somebody in.
    settings = VendSettings.read(os.environ)
    telemetry = VendTelemetry(settings.allowed_callers.unmatchable)
    desk = build_desk(settings)
except ConfigurationError as error:
    raise error.on_the_wire() from None
quick_start.over()


def handler(event: Any, context: Any) -> dict[str, Any]:  # noqa: ANN401
    """The hand-out; the two shapes of request and answer are in `token_vending.doors`."""
    with telemetry.run(context.aws_request_id):
        if doors.is_url(context.invoked_function_arn):
            return doors.http(event, desk, settings.allowed_callers, telemetry.audit)
        return doors.direct(event, desk, telemetry.audit)
