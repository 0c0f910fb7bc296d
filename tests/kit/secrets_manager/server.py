"""The service over HTTP, in the JSON 1.1 protocol that botocore speaks, with controls for tests."""

import base64
import json
import secrets
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, override

from tests.kit.secrets_manager.rules import CURRENT, MAX_LABELS, Content, Refused, SecretVersions
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

REGION = "eu-west-1"
ACCOUNT_ID = "111122223333"

MAX_VALUE_BYTES = 65_536
"""GetSecretValue/PutSecretValue: 'SecretString ... Maximum length of 65536'."""

TOKEN_LENGTHS = range(32, 65)


@dataclass(frozen=True)
class Call:
    """One call as it arrived: operation, secret, the labels it names, and the error code it was answered
    with.
    """

    operation: str
    secret_id: str
    stages: tuple[str, ...]
    error: str | None


@dataclass
class _Refusal:
    error: Refused
    secret: str | None
    remaining: int | None


class SecretsManager(LoopbackServer):
    """The service with its controls. Everything is atomic under one lock, as a call to the real one is."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.calls: list[Call] = []
        self._rules = SecretVersions(lambda: datetime.now(UTC))
        self.ever_put = self._rules.ever_put
        self._arns: dict[str, str] = {}
        self._refusals: dict[str, list[_Refusal]] = {}
        self._lock = threading.RLock()

    # --- controls -------------------------------------------------------------------------------------------

    def create(self, name: str, content: object | None = None) -> str:
        """Create a secret (without a version if ``content`` is None); return its ARN. Non-strings become
        JSON.
        """
        with self._lock:
            arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{name}-{secrets.token_hex(3)}"
            self._arns[name] = arn
            self._rules.create(name)
        if content is not None:
            self.put(name, content)
        return arn

    def put(self, name: str, content: object, stages: tuple[str, ...] = (CURRENT,)) -> str:
        """Put a version as an operator would; return its id. Non-strings become JSON."""
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        with self._lock:
            return str(self._rules.put_secret_value(name, str(uuid.uuid4()), text, list(stages))["VersionId"])

    def empty(self, name: str) -> None:
        """Forget a secret's versions, as if it had just been created."""
        with self._lock:
            self._rules.create(name)

    def value(self, name: str, stage: str = CURRENT) -> Any:
        """Return the parsed JSON of the version that holds a label; None if none does."""
        with self._lock:
            version = self._rules.holder(name, stage)
            return None if version is None else json.loads(self._rules.versions(name)[version].content)

    def version_of(self, name: str, stage: str = CURRENT) -> str | None:
        """Return the id of the version that holds a label."""
        with self._lock:
            return self._rules.holder(name, stage)

    def labels(self, name: str) -> dict[str, str]:
        """Return label → version id."""
        with self._lock:
            return self._rules.labels(name)

    def versions(self, name: str) -> dict[str, Any]:
        """Return version id → parsed content, oldest first, deprecated ones included."""
        with self._lock:
            return {version: json.loads(held.content) for version, held in self._rules.versions(name).items()}

    def destroyed(self, name: str) -> list[str]:
        """Return the ids of versions that were pruned."""
        with self._lock:
            return list(self._rules.secret(name).destroyed)

    def rewrite(self, name: str, version_id: str, change: Callable[[Any], Any]) -> None:
        """Change a version's JSON in place (no real caller can): how a test ages what the product stored."""
        with self._lock:
            secret = self._rules.secret(name)
            held = secret.versions[version_id]
            content = json.dumps(change(json.loads(held.content)))
            secret.versions = {**secret.versions, version_id: replace(held, content=content)}

    def age(self, name: str, seconds: float) -> None:
        """Make every version's CreatedDate this much older."""
        with self._lock:
            secret = self._rules.secret(name)
            by = timedelta(seconds=seconds)
            secret.versions = {
                version: replace(held, created=held.created - by) for version, held in secret.versions.items()
            }

    def refuse(
        self,
        operation: str,
        code: str = "AccessDeniedException",
        message: str = "",
        *,
        status: int = 400,
        secret: str | None = None,
        times: int | None = None,
    ) -> None:
        """Answer an operation with an error, for one secret's name or all, for so many calls or until
        :meth:`allow`.

        KMS denials look like this too: Secrets Manager answers AccessDeniedException with KMS in the message,
        or DecryptionFailure/EncryptionFailure.
        """
        text = message or f"User is not authorized to perform: secretsmanager:{operation}"
        with self._lock:
            refusal = _Refusal(Refused(code, text, status), secret, times)
            self._refusals.setdefault(operation, []).append(refusal)

    def allow(self, operation: str | None = None) -> None:
        """Forget the refusals of one operation, or of all."""
        with self._lock:
            if operation is None:
                self._refusals.clear()
            else:
                self._refusals.pop(operation, None)

    def counts(self) -> Counter[str]:
        """Return how often each operation was called so far."""
        with self._lock:
            return Counter(call.operation for call in self.calls)

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as plain data, to compare before and after."""
        with self._lock:
            return {name: dict(self._rules.versions(name)) for name in self._arns}

    # --- HTTP -----------------------------------------------------------------------------------------------

    @override
    def handle(self, request: Request) -> Response | None:
        operation = request.headers.get("x-amz-target", "").removeprefix("secretsmanager.")
        stages: tuple[str, ...] = ()
        secret_id = ""
        error: str | None = None
        try:
            body = _signed_json(request)
            secret_id = str(body.get("SecretId", body.get("Name", "")))
            stages = tuple(body.get("VersionStages") or filter(None, [body.get("VersionStage")]))
            with self._lock:
                answer = self._dispatch(operation, body)
        except Refused as exc:
            error = exc.code
            return _error(exc)
        finally:
            with self._lock:
                self.calls.append(Call(operation, secret_id, stages, error))
        return Response(
            200, json.dumps(answer).encode(), {"Content-Type": "application/x-amz-json-1.1", **_request_id()}
        )

    def _dispatch(self, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
        operations: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "CreateSecret": self._create_secret,
            "DeleteSecret": self._delete_secret,
            "DescribeSecret": self._describe_secret,
            "GetSecretValue": self._get_secret_value,
            "ListSecretVersionIds": self._list_secret_version_ids,
            "PutSecretValue": self._put_secret_value,
            "UpdateSecretVersionStage": self._update_secret_version_stage,
        }
        run = operations.get(operation)
        if run is None:
            raise Refused("UnknownOperationException", f"This stand-in has no {operation!r}")
        self._raise_refusal(operation, body)
        return run(body)

    def _raise_refusal(self, operation: str, body: Mapping[str, Any]) -> None:
        for refusal in self._refusals.get(operation, []):
            if refusal.remaining == 0:
                continue
            if refusal.secret is not None and self._name(str(body.get("SecretId"))) != refusal.secret:
                continue
            if refusal.remaining is not None:
                refusal.remaining -= 1
            raise refusal.error

    # --- operations -----------------------------------------------------------------------------------------

    def _create_secret(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = _required(body, "Name")
        if name in self._arns:
            message = f"The operation failed because {name} already exists."
            raise Refused("ResourceExistsException", message)
        answer = {"ARN": self.create(name), "Name": name}
        if body.get("SecretString") is not None:
            token = _client_request_token(body)
            self._rules.put_secret_value(name, token, _content(body), [CURRENT])
            answer["VersionId"] = token
        return answer

    def _delete_secret(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if not body.get("ForceDeleteWithoutRecovery"):
            raise Refused("InvalidParameterException", "This stand-in has no recovery window.")
        name = self._name(_required(body, "SecretId"))
        return {"ARN": self._arns.pop(name), "Name": name, "DeletionDate": time.time()}

    def _describe_secret(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = self._name(_required(body, "SecretId"))
        return {"ARN": self._arns[name], **self._rules.describe_secret(name)}

    def _get_secret_value(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = self._name(_required(body, "SecretId"))
        version, label = body.get("VersionId"), body.get("VersionStage")
        answer = _in_seconds(self._rules.get_secret_value(name, version=version, label=label))
        content = answer["SecretString"]
        if isinstance(content, bytes):
            del answer["SecretString"]
            answer["SecretBinary"] = base64.b64encode(content).decode()
        return {"ARN": self._arns[name], "Name": name, **answer}

    def _put_secret_value(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = self._name(_required(body, "SecretId"))
        token, content, stages = _client_request_token(body), _content(body), body.get("VersionStages")
        if stages is not None and not 1 <= len(stages) <= MAX_LABELS:
            raise Refused("ValidationException", "VersionStages must have between 1 and 20 members")
        answer = self._rules.put_secret_value(name, token, content, stages or [CURRENT])
        return {"ARN": self._arns[name], "Name": name, **answer}

    def _update_secret_version_stage(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = self._name(_required(body, "SecretId"))
        move_to, remove_from = body.get("MoveToVersionId"), body.get("RemoveFromVersionId")
        label = _required(body, "VersionStage")
        answer = self._rules.update_secret_version_stage(
            name, label, move_to=move_to, remove_from=remove_from
        )
        return {"ARN": self._arns[name], **answer}

    def _list_secret_version_ids(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = self._name(_required(body, "SecretId"))
        size, start = int(body.get("MaxResults") or 100), int(body.get("NextToken") or 0)
        listed = [
            _in_seconds(entry)
            for entry in self._rules.list_secret_version_ids(name)["Versions"]
            if entry["VersionStages"] or body.get("IncludeDeprecated")
        ]
        for entry in listed:
            if not entry["VersionStages"]:
                del entry["VersionStages"]
        answer = {"ARN": self._arns[name], "Name": name, "Versions": listed[start : start + size]}
        return {**answer, "NextToken": str(start + size)} if start + size < len(listed) else answer

    def _name(self, secret_id: str) -> str:
        for name, arn in self._arns.items():
            if secret_id in (name, arn, arn.rpartition("-")[0]):
                return name
        raise Refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")


def _in_seconds(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {**answer, "CreatedDate": answer["CreatedDate"].timestamp()}


def _error(refused: Refused) -> Response:
    body = json.dumps({"__type": refused.code, "Message": refused.message}).encode()
    return Response(refused.status, body, {"Content-Type": "application/x-amz-json-1.1", **_request_id()})


def _request_id() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def _signed_json(request: Request) -> dict[str, Any]:
    if not request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
        raise Refused("MissingAuthenticationTokenException", "The request is not signed")
    try:
        body = request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused("SerializationException", "The body is not a JSON object")
    return body


def _required(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(
            "ValidationException", f"Value at '{name}' failed to satisfy constraint: must not be null"
        )
    return value


def _client_request_token(body: Mapping[str, Any]) -> str:
    token = body.get("ClientRequestToken")
    if token is None:
        # The SDK always fills it in; the raw API requires it.
        raise Refused("InvalidRequestException", "You must provide a ClientRequestToken value.")
    if len(token) not in TOKEN_LENGTHS:
        raise Refused("InvalidParameterException", "ClientRequestToken must be 32-64 characters long.")
    return str(token)


def _content(body: Mapping[str, Any]) -> Content:
    text, binary = body.get("SecretString"), body.get("SecretBinary")
    if (text is None) == (binary is None):
        raise Refused("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
    content: Content = base64.b64decode(str(binary)) if text is None else str(text)
    if not 1 <= len(content.encode() if isinstance(content, str) else content) <= MAX_VALUE_BYTES:
        raise Refused("ValidationException", "The secret value must have between 1 and 65536 bytes.")
    return content
