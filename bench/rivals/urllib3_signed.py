"""Powertools' Logger and Metrics, urllib3, and botocore's signer."""

import json
import os
import time
from typing import Any

import urllib3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

logger = Logger(service="vend")
metrics = Metrics(namespace="TokenVending", service="vend")
pool = urllib3.PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"])
cached: tuple[float, dict[str, Any]] | None = None


def read() -> dict[str, Any]:
    global cached  # noqa: PLW0603
    if cached is None or time.time() - cached[0] > 300:
        url = os.environ["AWS_ENDPOINT_URL_SECRETS_MANAGER"] + "/"
        request = AWSRequest(
            method="POST",
            url=url,
            data=json.dumps({"SecretId": os.environ["TOKEN_SECRET_ID"]}),
            headers={
                "X-Amz-Target": "secretsmanager.GetSecretValue",
                "Content-Type": "application/x-amz-json-1.1",
            },
        )
        credentials = Credentials(
            os.environ["AWS_ACCESS_KEY_ID"],
            os.environ["AWS_SECRET_ACCESS_KEY"],
            os.environ["AWS_SESSION_TOKEN"],
        )
        SigV4Auth(credentials, "secretsmanager", os.environ["AWS_REGION"]).add_auth(request)
        response = pool.request("POST", url, headers=dict(request.headers), body=request.data)
        answer = response.json()
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
