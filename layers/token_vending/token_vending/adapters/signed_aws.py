"""The hand-out's two calls to AWS: AWS's stand-alone signer and Python's own HTTP client, no client of the SDK.

A caller waits for the cold start of the hand-out, and importing and building a client takes longer than everything
else of it together (docs/evidence/performance.md; docs/decisions/0012). The signature is made by `aws_sdk_signers`, the
package that AWS's SDKs sign with; TLS is always verified. The refresh function has a client of the SDK.
"""

import json
import select
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from random import SystemRandom
from typing import Any
from urllib.parse import quote, urlsplit

from aws_sdk_signers import URI, AWSCredentialIdentity, AWSRequest, Field, Fields, SigV4Signer

from token_vending.adapters import aws_errors
from token_vending.adapters.aws_trust import AwsTrust
from token_vending.errors import StoreUnavailable
from token_vending.records import read_record
from token_vending.token import Intent, Token

ATTEMPTS = 3
CONNECT_SECONDS, ANSWER_SECONDS = 1.0, 2.0
"""Both calls answer within 100 ms when all is well; three attempts fit into the function's timeout."""
MAX_BODY = 1024 * 1024
# By the region without its last two parts. A test compares them with botocore's list of partitions.
_DNS_SUFFIXES = {"cn": "amazonaws.com.cn", "eusc-de": "amazonaws.eu", "eu-isoe": "cloud.adc-e.uk"}
_DNS_SUFFIXES |= {"us-iso": "c2s.ic.gov", "us-isob": "sc2s.sgov.gov", "us-isof": "csp.hci.ic.gov"}
# Asks the operating system each time: a seeded generator would be the same in every copy of a snapshot.
_jitter = SystemRandom().uniform


class SignedAws:
    """Signs and sends. Endpoints: `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, or the region's own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._keys = _Keys(environment)
        self._region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._trust = AwsTrust(environment)
        self._connections: dict[str, HTTPConnection] = {}

    def post(  # noqa: PLR0913
        self,
        service: str,
        operation: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        *,
        attempts: int = ATTEMPTS,
    ) -> tuple[int, bytes]:
        """One request, tried up to `attempts` times while it fails in passing.

        Answers (HTTP status, body). Raises StoreUnavailable when nothing usable came back.
        """
        for attempt in range(attempts):
            last = attempt + 1 == attempts
            try:
                status, answer = self._send(service, path, headers, body)
            except (HTTPException, OSError) as error:
                if last:
                    raise aws_errors.no_answer(operation, type(error).__name__) from error
            else:
                if last or not aws_errors.passes(status, answer):
                    return status, answer
            time.sleep(_jitter(0, 0.1 * 2**attempt))
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def _send(self, service: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        url = self._endpoint(service) + path
        signed = self._sign(service, url, headers, body)
        connection = self._connection(url)
        whole = False
        try:
            self._open(connection)
            connection.request("POST", urlsplit(url).path, body, signed)
            response = connection.getresponse()
            received = _read_in_time(response)
            whole = len(received) <= MAX_BODY
            return response.status, bytes(received[:MAX_BODY])
        finally:
            if not whole:
                # What is still to come must not be taken for the next answer.
                connection.close()

    def _sign(self, service: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        parts = urlsplit(url)
        request = AWSRequest(
            method="POST",
            destination=URI(scheme=parts.scheme, host=parts.hostname or "", port=parts.port, path=parts.path),
            fields=Fields(
                [Field(name=name, values=[text]) for name, text in {"Host": parts.netloc, **headers}.items()]
            ),
            body=[body],
        )
        signed = SigV4Signer().sign(
            request=request,
            identity=self._keys.now(),
            properties={"region": self._region, "service": service},
        )
        return {field.name: field.as_string() for field in signed.fields}

    def _connection(self, url: str) -> HTTPConnection:
        parts = urlsplit(url)
        connection = self._connections.get(parts.netloc)
        if connection is None:
            host = parts.hostname or ""
            connection = (
                HTTPSConnection(host, parts.port, timeout=CONNECT_SECONDS, context=self._trust.context)
                if parts.scheme == "https"
                else HTTPConnection(host, parts.port, timeout=CONNECT_SECONDS)
            )
            self._connections[parts.netloc] = connection
        return connection

    def _open(self, connection: HTTPConnection) -> None:
        """Leaves one open as it is, if the other side has kept it."""
        if connection.sock is not None:
            if not select.select([connection.sock], [], [], 0)[0]:
                return
            # Something to read before anything was asked: the end, as a rule.
            connection.close()
        try:
            connection.connect()
        except ssl.SSLCertVerificationError:
            connection.close()
            if not self._trust.widen():
                raise
            # Nothing was sent yet, so this is still the same attempt.
            connection.connect()
        connection.sock.settimeout(ANSWER_SECONDS)

    def _endpoint(self, service: str) -> str:
        specific = "AWS_ENDPOINT_URL_" + {"secretsmanager": "SECRETS_MANAGER", "lambda": "LAMBDA"}[service]
        configured = self._environment.get(specific) or self._environment.get("AWS_ENDPOINT_URL")
        if configured:
            return configured.rstrip("/")
        partition = self._region.rpartition("-")[0].rpartition("-")[0]
        return f"https://{service}.{self._region}.{_DNS_SUFFIXES.get(partition, 'amazonaws.com')}"


class _Keys:
    """The function's AWS credentials, read for each call: a copy of a snapshot has others than the snapshot's process.

    Before the first call nothing here is a secret.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._container: Any = None
        if environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            # Every copy of the snapshot needs it at its first call: better imported once, before the snapshot.
            import botocore.credentials  # noqa: F401, PLC0415

    def now(self) -> AWSCredentialIdentity:
        given = self._environment
        key, secret = given.get("AWS_ACCESS_KEY_ID"), given.get("AWS_SECRET_ACCESS_KEY")
        if key and secret:
            return AWSCredentialIdentity(
                access_key_id=key, secret_access_key=secret, session_token=given.get("AWS_SESSION_TOKEN")
            )
        # Under SnapStart Lambda gives credentials through a container endpoint instead, and renews them there.
        found = self._from_container()
        return AWSCredentialIdentity(
            access_key_id=found.access_key, secret_access_key=found.secret_key, session_token=found.token
        )

    def _from_container(self) -> Any:  # noqa: ANN401
        """Raises StoreUnavailable: botocore has tried three times, and without keys there is no reading."""
        from botocore.credentials import ContainerProvider  # noqa: PLC0415 - only this rare path needs it
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415

        try:
            if self._container is None:
                self._container = ContainerProvider(environ=self._environment).load()
            if self._container is None:
                raise StoreUnavailable("The function has no AWS credentials.")
            # Renews them when they are about to expire.
            return self._container.get_frozen_credentials()
        except (BotoCoreError, LookupError, OSError, TypeError, ValueError) as error:
            # Without its cause, whose text may repeat what the endpoint answered.
            raise StoreUnavailable(
                f"The function's AWS credentials could not be fetched ({type(error).__name__}).",
                retry_after=5,
            ) from None


class SignedSecretReader:
    """The current version of the token secret as `ports.TokenReader`."""

    def __init__(self, aws: SignedAws, secret_id: str, *, attempts: int = ATTEMPTS) -> None:
        self._aws = aws
        self._secret_id = secret_id
        self._attempts = attempts

    def read_current(self) -> Token | Intent | None:
        """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html"""
        operation = "GetSecretValue"
        status, body = self._aws.post(
            "secretsmanager",
            operation,
            "/",
            {"X-Amz-Target": f"secretsmanager.{operation}", "Content-Type": "application/x-amz-json-1.1"},
            json.dumps({"SecretId": self._secret_id, "VersionStage": "AWSCURRENT"}).encode(),
            attempts=self._attempts,
        )
        if status != 200:
            code = aws_errors.error_code(body)
            if code == "ResourceNotFoundException":
                return None
            raise aws_errors.refused(operation, self._secret_id, code, status)
        fields = aws_errors.json_object(body)
        version = fields.get("VersionId")
        if not isinstance(version, str):
            raise aws_errors.answered_without(operation, "VersionId")
        content = fields.get("SecretString")
        return read_record(version, content if isinstance(content, str) else None)


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
            raise aws_errors.refused("Invoke", self._function, aws_errors.error_code(body), status)


def _read_in_time(response: HTTPResponse) -> bytearray:
    """The socket's own timeout starts anew with every byte that drips in."""
    received = bytearray()
    deadline = time.monotonic() + ANSWER_SECONDS
    while len(received) <= MAX_BODY and (chunk := response.read1(MAX_BODY)):
        received += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
    return received
