"""Everything in Powertools that fits, as its documentation shows it."""

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters

logger = Logger(service="vend")
tracer = Tracer(service="vend")
metrics = Metrics(namespace="TokenVending", service="vend")
app = LambdaFunctionUrlResolver(enable_validation=os.environ.get("VALIDATION") == "true")


@app.get("/token")
@tracer.capture_method(capture_response=False)
def token() -> dict[str, str]:
    secret: Any = parameters.get_secret(os.environ["TOKEN_SECRET_ID"], transform="json", max_age=300)
    metrics.add_metric(name="TokenVended", unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="VendCacheHit", unit=MetricUnit.Count, value=1)
    # `parameters` does not tell the secret's version id; the run that has minted the token names it as well.
    version = secret["run"]
    logger.info("audit", audit={"outcome": "handed_out", "door": "http", "version": version})
    return {"access_token": secret["access_token"], "expires_at": secret["expires_at"], "version": version}


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def handler(event: Any, context: Any) -> dict[str, Any]:
    return app.resolve(event, context)
