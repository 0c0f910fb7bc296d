"""Powertools' Logger and Metrics, and a botocore client with the data of one service only."""

import json
import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.session import Session

logger = Logger(service="vend")
metrics = Metrics(namespace="TokenVending", service="vend")
client: Any = Session().create_client("secretsmanager")
cached: tuple[float, dict[str, Any]] | None = None


def read() -> dict[str, Any]:
    global cached  # noqa: PLW0603
    if cached is None or time.time() - cached[0] > 300:
        answer = client.get_secret_value(SecretId=os.environ["TOKEN_SECRET_ID"])
        cached = time.time(), {**json.loads(answer["SecretString"]), "version": answer["VersionId"]}
    return cached[1]


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: Any, context: Any) -> dict[str, Any]:
    secret = read()
    metrics.add_metric(name="TokenVended", unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="VendCacheHit", unit=MetricUnit.Count, value=1)
    logger.info("audit", audit={"outcome": "handed_out", "door": "direct", "version": secret["version"]})
    return {name: secret[name] for name in ("access_token", "expires_at", "version")}
