"""Calls to AWS: urllib3 for the wire, botocore's own signer, nothing else of the SDK.

Why not a botocore client: the functions need five operations of two services, and importing and building a
client takes longer than everything else of a cold start together. docs/performance.md has the figures,
docs/decisions the reasons. The signature is botocore's (`botocore.auth.SigV4Auth`); TLS is always verified.
"""

import json
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from random import SystemRandom
from typing import Any, NamedTuple
from urllib.parse import quote

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError

from token_vending.adapters.aws_errors import answered_without, no_answer, refused
from token_vending.adapters.aws_trust import AwsTrust
from token_vending.errors import StoreUnavailable
from token_vending.records import read_record
from token_vending.token import Intent, Token

ATTEMPTS = 3
TIMEOUT = urllib3.Timeout(connect=1.0, read=2.0)
"""Seconds. Both calls answer within 100 ms when all is well; three attempts fit into the function's timeout."""
ANSWER_SECONDS = 2.0
"""For the whole body: a socket's timeout starts anew with every byte that drips in."""
MAX_BODY = 1024 * 1024
CREDENTIALS_RETRY_AFTER = 5
"""Seconds."""
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
)
# Asks the operating system each time: a seeded generator would be the same in every copy of a snapshot.
_jitter = SystemRandom().uniform


class Credentials(NamedTuple):
    """What the signer reads. botocore's own class of this shape costs 7 % of a cold start to import."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return f"Credentials(access_key={self.access_key!r})"


class SignedAws:
    """Signs and sends. Endpoints: `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, or the region's own.

    Nothing here is a secret until the first call: keys are read from the environment for each one, since a
    copy of a snapshot has others than the process that the snapshot was taken of.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        attempts: int = ATTEMPTS,
        timeout: urllib3.Timeout = TIMEOUT,
    ) -> None:
        self._environment = environment
        self._attempts = attempts
        self._from_container: Any = None
        if environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            # Every copy of the snapshot needs it at its first call: better imported once, before the snapshot.
            import botocore.credentials  # noqa: F401, PLC0415
        self._region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._trust = AwsTrust(environment)
        self._pool = urllib3.PoolManager(
            retries=False, timeout=timeout, maxsize=1, ssl_context=self._trust.context
        )

    def post(  # noqa: PLR0913
        self,
        service: str,
        operation: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        *,
        attempts: int | None = None,
    ) -> tuple[int, bytes]:
        """One request, tried up to `attempts` times while it fails in passing (by default as often as agreed).

        Answers (HTTP status, body). Raises StoreUnavailable when nothing usable came back.
        """
        attempts = self._attempts if attempts is None else attempts
        for attempt in range(attempts):
            last = attempt + 1 == attempts
            try:
                status, answer = self._send(service, path, headers, body)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if last:
                    raise no_answer(operation, type(error).__name__) from error
            else:
                if last or not (status in _TRANSIENT or error_code(answer) in _THROTTLED):
                    return status, answer
            time.sleep(_jitter(0, 0.1 * 2**attempt))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _send(self, service: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        try:
            return self._send_signed(service, path, headers, body)
        except urllib3.exceptions.SSLError as error:
            untrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in error.args)
            if not (untrusted and self._trust.widen()):
                raise
        # Nothing was sent yet, so this is still the same attempt.
        return self._send_signed(service, path, headers, body)

    def _send_signed(
        self, service: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, bytes]:
        request = AWSRequest(method="POST", url=self._endpoint(service) + path, headers=headers, data=body)
        SigV4Auth(self._credentials(), service, self._region).add_auth(request)
        prepared = request.prepare()
        response = self._pool.request(
            "POST",
            prepared.url,
            headers=dict(prepared.headers),
            body=body,
            redirect=False,
            preload_content=False,
        )
        whole = False
        try:
            received = _read_in_time(response)
            whole = len(received) <= MAX_BODY
            return response.status, bytes(received[:MAX_BODY])
        finally:
            if whole:
                response.release_conn()
            else:
                # What is still to come must not be taken for the next answer.
                response.close()

    def _endpoint(self, service: str) -> str:
        specific = "AWS_ENDPOINT_URL_" + {"secretsmanager": "SECRETS_MANAGER", "lambda": "LAMBDA"}[service]
        configured = self._environment.get(specific) or self._environment.get("AWS_ENDPOINT_URL")
        if configured:
            return configured.rstrip("/")
        suffix = "amazonaws.com.cn" if self._region.startswith("cn-") else "amazonaws.com"
        return f"https://{service}.{self._region}.{suffix}"

    def _credentials(self) -> Any:  # noqa: ANN401 - ours, or any of botocore's classes of that shape
        key, secret = (
            self._environment.get("AWS_ACCESS_KEY_ID"),
            self._environment.get("AWS_SECRET_ACCESS_KEY"),
        )
        if key and secret:
            return Credentials(key, secret, self._environment.get("AWS_SESSION_TOKEN"))
        # Under SnapStart Lambda gives credentials through a container endpoint instead, and renews them there.
        return self._container_credentials()

    def _container_credentials(self) -> Any:  # noqa: ANN401
        """Raises StoreUnavailable: botocore has tried three times, and without keys there is no reading."""
        from botocore.credentials import ContainerProvider  # noqa: PLC0415 - only this rare path needs it

        try:
            if self._from_container is None:
                self._from_container = ContainerProvider(environ=self._environment).load()
            if self._from_container is None:
                raise StoreUnavailable("The function has no AWS credentials.")
            # Renews them when they are about to expire.
            return self._from_container.get_frozen_credentials()
        except (BotoCoreError, LookupError, OSError, TypeError, ValueError) as error:
            # Without its cause, whose text may repeat what the endpoint answered.
            raise StoreUnavailable(
                f"The function's AWS credentials could not be fetched ({type(error).__name__}).",
                retry_after=CREDENTIALS_RETRY_AFTER,
            ) from None


class SignedSecretReader:
    """The current version of the token secret as `ports.TokenReader`."""

    def __init__(self, aws: SignedAws, secret_id: str, *, attempts: int | None = None) -> None:
        self._aws = aws
        self._secret_id = secret_id
        self._attempts = attempts

    def read_current(self) -> Token | Intent | None:
        """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html"""
        operation = "GetSecretValue"
        arguments = {"SecretId": self._secret_id, "VersionStage": "AWSCURRENT"}
        status, body = _secrets_manager(self._aws, operation, arguments, attempts=self._attempts)
        if status != 200:
            code = error_code(body)
            if code == "ResourceNotFoundException":
                return None
            raise refused(operation, self._secret_id, code, status)
        fields = _object(body)
        version = fields.get("VersionId")
        if not isinstance(version, str):
            raise answered_without(operation, "VersionId")
        content = fields.get("SecretString")
        return read_record(version, content if isinstance(content, str) else None)


class SignedSecretsManager:
    """The operations that the refresh needs, in the form of botocore's client: what `SecretsManagerStore` takes.

    Each answers AWS's JSON object, raises botocore's ClientError for an error of AWS's, and StoreUnavailable
    when no usable answer came.
    """

    def __init__(self, aws: SignedAws) -> None:
        self._aws = aws

    def describe_secret(self, **arguments: object) -> dict[str, Any]:
        return self._call("DescribeSecret", arguments)

    def get_secret_value(self, **arguments: object) -> dict[str, Any]:
        return self._call("GetSecretValue", arguments)

    def put_secret_value(self, **arguments: object) -> dict[str, Any]:
        return self._call("PutSecretValue", arguments)

    def update_secret_version_stage(self, **arguments: object) -> dict[str, Any]:
        return self._call("UpdateSecretVersionStage", arguments)

    def list_secret_version_ids(self, **arguments: object) -> dict[str, Any]:
        answer = self._call("ListSecretVersionIds", arguments)
        for version in answer.get("Versions", []):
            version["CreatedDate"] = datetime.fromtimestamp(version["CreatedDate"], UTC)
        return answer

    def _call(self, operation: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        status, body = _secrets_manager(self._aws, operation, arguments)
        if status != 200:
            error: Any = {"Error": {"Code": error_code(body)}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(error, operation)
        answer = _object(body)
        if "ARN" not in answer:
            # All four promise it: without it this is no answer of Secrets Manager's.
            raise answered_without(operation, "ARN")
        return answer


class LambdaRefreshStarter:
    """The refresh function, invoked asynchronously, as `ports.RefreshStarter`. `function` is a name or an ARN."""

    def __init__(self, aws: SignedAws, function: str) -> None:
        self._aws = aws
        self._function = function

    def start(self, event: Mapping[str, object]) -> None:
        """https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html"""
        status, body = self._aws.post(
            "lambda",
            "Invoke",
            f"/2015-03-31/functions/{quote(self._function, safe='')}/invocations",
            {"X-Amz-Invocation-Type": "Event", "Content-Type": "application/json"},
            json.dumps(event).encode(),
        )
        if not 200 <= status < 300:
            raise refused("Invoke", self._function, error_code(body), status)


def _secrets_manager(
    aws: SignedAws, operation: str, arguments: Mapping[str, object], *, attempts: int | None = None
) -> tuple[int, bytes]:
    headers = {"X-Amz-Target": f"secretsmanager.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    body = json.dumps(arguments).encode()
    return aws.post("secretsmanager", operation, "/", headers, body, attempts=attempts)


def _read_in_time(response: urllib3.BaseHTTPResponse) -> bytearray:
    received = bytearray()
    deadline = time.monotonic() + ANSWER_SECONDS
    while len(received) <= MAX_BODY and (chunk := response.read1(MAX_BODY)):
        received += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
    return received


def error_code(body: bytes) -> str:
    """AWS's error code from a JSON error body: `__type`, possibly `prefix#Code`, or Lambda's `Type`."""
    fields = _object(body)
    code = fields.get("__type") or fields.get("code") or fields.get("Type") or ""
    return str(code).rpartition("#")[2]


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
