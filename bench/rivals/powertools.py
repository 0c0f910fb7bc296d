"""Powertools' Logger and Metrics, and one of three ways to read the secret: CLIENT says which.

boto3; botocore (with the data of one service only); urllib3 with botocore's signer.
"""

import json
import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger(service="vend")
metrics = Metrics(namespace="TokenVending", service="vend")
cached: tuple[float, dict[str, Any]] | None = None
client: Any = None

if os.environ["CLIENT"] == "boto3":
    import boto3

    client = boto3.client("secretsmanager")
elif os.environ["CLIENT"] == "botocore":
    from botocore.session import Session

    client = Session().create_client("secretsmanager")
else:
    import urllib3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    pool = urllib3.PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"])


def ask() -> Any:
    if client:
        return client.get_secret_value(SecretId=os.environ["TOKEN_SECRET_ID"])
    url = os.environ["AWS_ENDPOINT_URL_SECRETS_MANAGER"] + "/"
    headers = {"X-Amz-Target": "secretsmanager.GetSecretValue", "Content-Type": "application/x-amz-json-1.1"}
    body = json.dumps({"SecretId": os.environ["TOKEN_SECRET_ID"]})
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    credentials = Credentials(*(os.environ[name] for name in names))
    SigV4Auth(credentials, "secretsmanager", os.environ["AWS_REGION"]).add_auth(request)
    return pool.request("POST", url, headers=dict(request.headers), body=request.data).json()


def read() -> dict[str, Any]:
    global cached  # noqa: PLW0603
    if cached is None or time.time() - cached[0] > 300:
        answer = ask()
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
