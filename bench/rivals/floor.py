"""The standard library alone: a signer and log lines of its own. What is left when everything else is left out.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import hashlib
import hmac
import http.client
import json
import os
import ssl
import time
from typing import Any

HOST = os.environ["AWS_ENDPOINT_URL_SECRETS_MANAGER"].removeprefix("https://")
TLS = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
METRICS = [{"Name": name, "Unit": "Count"} for name in ("TokenVended", "VendCacheHit")]
cached: tuple[float, dict[str, Any]] | None = None


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _signed_headers(body: bytes) -> dict[str, str]:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": HOST,
        "x-amz-date": stamp,
        "x-amz-security-token": os.environ["AWS_SESSION_TOKEN"],
        "x-amz-target": "secretsmanager.GetSecretValue",
    }
    names = ";".join(headers)
    canonical = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"POST\n/\n\n{canonical}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/{os.environ['AWS_REGION']}/secretsmanager/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, to_sign).hex()
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def read() -> dict[str, Any]:
    global cached  # noqa: PLW0603
    if cached is None or time.time() - cached[0] > 300:
        connection = http.client.HTTPSConnection(HOST, context=TLS)
        body = json.dumps({"SecretId": os.environ["TOKEN_SECRET_ID"]}).encode()
        connection.request("POST", "/", body, _signed_headers(body))
        answer = json.loads(connection.getresponse().read())
        cached = time.time(), {**json.loads(answer["SecretString"]), "version": answer["VersionId"]}
    return cached[1]


def handler(event: Any, context: Any) -> dict[str, Any]:
    secret = read()
    line = {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {"Namespace": "TokenVending", "Dimensions": [["service"]], "Metrics": METRICS}
            ],
        },
        "service": "vend",
        "TokenVended": 1.0,
        "VendCacheHit": 1.0,
        "level": "INFO",
        "message": "audit",
        "audit": {"outcome": "handed_out", "door": "direct", "version": secret["version"]},
    }
    print(json.dumps(line))
    return {name: secret[name] for name in ("access_token", "expires_at", "version")}
