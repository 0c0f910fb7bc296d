"""A strict AWS Secrets Manager over HTTP (the JSON 1.1 protocol that boto3 speaks).

Behaviour follows the AWS API reference of each operation
(https://docs.aws.amazon.com/secretsmanager/latest/apireference/) where emulators differ from it:

- PutSecretValue is idempotent on its ClientRequestToken: the same content again is a no-op, other content is
  a ResourceExistsException. It attaches the labels asked for, taking them from whichever version held them,
  and AWSCURRENT when none is asked for. The first version of a secret always gets AWSCURRENT.
- UpdateSecretVersionStage fails while another version holds the label, unless RemoveFromVersionId names that
  holder.
- Moving AWSCURRENT moves AWSPREVIOUS to the version it came from; AWSCURRENT cannot be taken off altogether.
- A version that loses its last label is deprecated: listed only with IncludeDeprecated, pruned past 100
  versions once it is a day old. If more than 100 would be left, the write is a LimitExceededException: AWS
  documents the number and that younger ones are not pruned, and the strictest reading of both is this.
"""

import base64
import json
import secrets
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, override

from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

REGION = "eu-west-1"
ACCOUNT_ID = "111122223333"

MAX_VALUE_BYTES = 65_536
"""GetSecretValue/PutSecretValue: 'SecretString ... Maximum length of 65536'."""

MAX_LABELS = 20
"""Quota: 'Labels attached to all versions of a secret'."""

MAX_VERSIONS = 100
"""Secrets Manager makes room for the next one by deleting deprecated versions, but none of the last day."""

PRUNE_AGE_SECONDS = 24 * 3600
"""It does not delete a version that was created within the last day."""

TOKEN_LENGTHS = range(32, 65)


class ServiceError(Exception):
    """An error answer of the service: its code, message and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.status = status

    def response(self) -> Response:
        """Return the error as the JSON 1.1 protocol writes it."""
        body = json.dumps({"__type": self.code, "Message": self.message}).encode()
        return Response(self.status, body, {"Content-Type": "application/x-amz-json-1.1", **_request_id()})


@dataclass
class Version:
    """One version of a secret; ``created`` is a Unix time in seconds."""

    version_id: str
    content: str | bytes
    created: float
    stages: set[str] = field(default_factory=set)


@dataclass
class Secret:
    """One secret with all its versions, oldest first."""

    name: str
    arn: str
    created: float
    kms_key_id: str | None = None
    versions: dict[str, Version] = field(default_factory=dict)
    destroyed: list[str] = field(default_factory=list)

    def holder(self, stage: str) -> Version | None:
        """Return the version that holds a staging label."""
        return next((version for version in self.versions.values() if stage in version.stages), None)


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
    error: ServiceError
    secret: str | None
    remaining: int | None


class SecretsManager(LoopbackServer):
    """The service with its controls. Everything is atomic under one lock, as a call to the real one is."""

    def __init__(self, port: int = 0, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(port)
        self.calls: list[Call] = []
        self.ever_put: dict[str, list[str | bytes]] = {}
        """Secret's name → every content it ever had: what a leak test searches for."""
        self._clock = clock
        self._secrets: dict[str, Secret] = {}
        self._refusals: dict[str, list[_Refusal]] = {}
        self._lock = threading.RLock()

    # --- controls -------------------------------------------------------------------------------------------

    def create(self, name: str, content: object | None = None) -> str:
        """Create a secret (without a version if ``content`` is None); return its ARN. Non-strings become
        JSON.
        """
        with self._lock:
            arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{name}-{secrets.token_hex(3)}"
            self._secrets[name] = Secret(name, arn, self._clock())
        if content is not None:
            self.put(name, content)
        return arn

    def put(self, name: str, content: object, stages: tuple[str, ...] = ("AWSCURRENT",)) -> str:
        """Put a version as an operator would; return its id. Non-strings become JSON."""
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        with self._lock:
            return self._add_version(self._find(name), str(uuid.uuid4()), text, set(stages)).version_id

    def empty(self, name: str) -> None:
        """Forget a secret's versions, as if it had just been created."""
        with self._lock:
            secret = self._find(name)
            secret.versions.clear()
            secret.destroyed.clear()

    def value(self, name: str, stage: str = "AWSCURRENT") -> Any:
        """Return the parsed JSON of the version that holds a label; None if none does."""
        with self._lock:
            version = self._find(name).holder(stage)
            return None if version is None else json.loads(version.content)

    def version_of(self, name: str, stage: str = "AWSCURRENT") -> str | None:
        """Return the id of the version that holds a label."""
        with self._lock:
            version = self._find(name).holder(stage)
            return None if version is None else version.version_id

    def labels(self, name: str) -> dict[str, str]:
        """Return label → version id."""
        with self._lock:
            return {stage: v.version_id for v in self._find(name).versions.values() for stage in v.stages}

    def versions(self, name: str) -> dict[str, Any]:
        """Return version id → parsed content, oldest first, deprecated ones included."""
        with self._lock:
            return {v.version_id: json.loads(v.content) for v in self._find(name).versions.values()}

    def destroyed(self, name: str) -> list[str]:
        """Return the ids of versions that were pruned."""
        with self._lock:
            return list(self._find(name).destroyed)

    def rewrite(self, name: str, version_id: str, change: Callable[[Any], Any]) -> None:
        """Change a version's JSON in place (no real caller can): how a test ages what the product stored."""
        with self._lock:
            version = self._find(name).versions[version_id]
            version.content = json.dumps(change(json.loads(version.content)))

    def age(self, name: str, seconds: float) -> None:
        """Make every version's CreatedDate this much older."""
        with self._lock:
            for version in self._find(name).versions.values():
                version.created -= seconds

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
            refusal = _Refusal(ServiceError(code, text, status), secret, times)
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
            return {
                name: {v.version_id: (v.content, sorted(v.stages)) for v in secret.versions.values()}
                for name, secret in self._secrets.items()
            }

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
        except ServiceError as exc:
            error = exc.code
            return exc.response()
        finally:
            with self._lock:
                self.calls.append(Call(operation, secret_id, stages, error))
        return Response(
            200, json.dumps(answer).encode(), {"Content-Type": "application/x-amz-json-1.1", **_request_id()}
        )

    def _dispatch(self, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
        operations: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "CreateSecret": self._create_secret,
            "DescribeSecret": self._describe_secret,
            "GetSecretValue": self._get_secret_value,
            "ListSecretVersionIds": self._list_secret_version_ids,
            "PutSecretValue": self._put_secret_value,
            "UpdateSecretVersionStage": self._update_secret_version_stage,
        }
        run = operations.get(operation)
        if run is None:
            raise ServiceError("UnknownOperationException", f"This stand-in has no {operation!r}")
        self._raise_refusal(operation, body)
        return run(body)

    def _raise_refusal(self, operation: str, body: Mapping[str, Any]) -> None:
        for refusal in self._refusals.get(operation, []):
            if refusal.remaining == 0:
                continue
            if refusal.secret is not None and self._find(str(body.get("SecretId"))).name != refusal.secret:
                continue
            if refusal.remaining is not None:
                refusal.remaining -= 1
            raise refusal.error

    # --- operations -----------------------------------------------------------------------------------------

    def _create_secret(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = _required(body, "Name")
        if name in self._secrets:
            raise ServiceError(
                "ResourceExistsException", f"The operation failed because {name} already exists."
            )
        content = body.get("SecretString")
        arn = self.create(name)
        answer = {"ARN": arn, "Name": name}
        if content is not None:
            token = _client_request_token(body)
            answer["VersionId"] = self._add_version(
                self._secrets[name], token, content, {"AWSCURRENT"}
            ).version_id
        return answer

    def _describe_secret(self, body: Mapping[str, Any]) -> dict[str, Any]:
        secret = self._find(_required(body, "SecretId"))
        stages = {v.version_id: sorted(v.stages) for v in secret.versions.values() if v.stages}
        answer = {"ARN": secret.arn, "Name": secret.name, "CreatedDate": secret.created}
        # A secret without any version has no such field.
        return {**answer, "VersionIdsToStages": stages} if stages else answer

    def _get_secret_value(self, body: Mapping[str, Any]) -> dict[str, Any]:
        secret = self._find(_required(body, "SecretId"))
        version_id, stage = body.get("VersionId"), body.get("VersionStage")
        if version_id is not None:
            version = secret.versions.get(version_id)
            wanted = f"VersionId: {version_id}"
            if version is not None and stage is not None and stage not in version.stages:
                raise ServiceError(
                    "InvalidRequestException", "You provided a VersionStage that is not associated"
                )
        else:
            wanted = f"staging label: {stage or 'AWSCURRENT'}"
            version = secret.holder(stage or "AWSCURRENT")
        if version is None:
            message = f"Secrets Manager can't find the specified secret value for {wanted}"
            raise ServiceError("ResourceNotFoundException", message)
        answer: dict[str, Any] = {
            "ARN": secret.arn,
            "Name": secret.name,
            "VersionId": version.version_id,
            "VersionStages": sorted(version.stages),
            "CreatedDate": version.created,
        }
        if isinstance(version.content, bytes):
            answer["SecretBinary"] = base64.b64encode(version.content).decode()
        else:
            answer["SecretString"] = version.content
        return answer

    def _put_secret_value(self, body: Mapping[str, Any]) -> dict[str, Any]:
        secret = self._find(_required(body, "SecretId"))
        token = _client_request_token(body)
        content = _content(body)
        stages = body.get("VersionStages")
        if stages is not None and not 1 <= len(stages) <= MAX_LABELS:
            raise ServiceError("ValidationException", "VersionStages must have between 1 and 20 members")
        existing = secret.versions.get(token)
        if existing is not None:
            if existing.content != content:
                message = f"You can't use ClientRequestToken {token} because that value is already in use."
                raise ServiceError("ResourceExistsException", message)
            version = existing
        else:
            version = self._add_version(secret, token, content, set(stages or ["AWSCURRENT"]))
        return {
            "ARN": secret.arn,
            "Name": secret.name,
            "VersionId": version.version_id,
            "VersionStages": sorted(version.stages),
        }

    def _update_secret_version_stage(self, body: Mapping[str, Any]) -> dict[str, Any]:
        secret = self._find(_required(body, "SecretId"))
        stage = _required(body, "VersionStage")
        remove_from, move_to = body.get("RemoveFromVersionId"), body.get("MoveToVersionId")
        if remove_from is None and move_to is None:
            raise ServiceError("InvalidParameterException", "Specify RemoveFromVersionId or MoveToVersionId")
        for version_id in filter(None, (remove_from, move_to)):
            if version_id not in secret.versions:
                raise ServiceError(
                    "ResourceNotFoundException", f"Secrets Manager can't find version {version_id}."
                )
        holder = secret.holder(stage)
        if remove_from is not None and (holder is None or holder.version_id != remove_from):
            message = f"RemoveFromVersionId must be set to the version that has the staging label {stage}."
            raise ServiceError("InvalidParameterException", message)
        if move_to is None:
            if stage == "AWSCURRENT":
                message = "You can only move staging label AWSCURRENT to a different secret version."
                raise ServiceError("InvalidParameterException", message)
            secret.versions[str(remove_from)].stages.discard(stage)
        else:
            if holder is not None and remove_from is None and holder.version_id != move_to:
                message = (
                    f"The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently "
                    f"attached to version {holder.version_id}."
                )
                raise ServiceError("InvalidParameterException", message)
            self._check_label_quota(secret, {stage})
            self._attach(secret, secret.versions[move_to], {stage})
        return {"ARN": secret.arn, "Name": secret.name}

    def _list_secret_version_ids(self, body: Mapping[str, Any]) -> dict[str, Any]:
        secret = self._find(_required(body, "SecretId"))
        include_deprecated = bool(body.get("IncludeDeprecated"))
        size = int(body.get("MaxResults") or 100)
        start = int(body.get("NextToken") or 0)
        listed = [v for v in secret.versions.values() if v.stages or include_deprecated]
        entries: list[dict[str, Any]] = []
        for version in listed[start : start + size]:
            entry: dict[str, Any] = {"VersionId": version.version_id, "CreatedDate": version.created}
            if version.stages:
                entry["VersionStages"] = sorted(version.stages)
            entries.append(entry)
        answer: dict[str, Any] = {"ARN": secret.arn, "Name": secret.name, "Versions": entries}
        if start + size < len(listed):
            answer["NextToken"] = str(start + size)
        return answer

    # --- state ----------------------------------------------------------------------------------------------

    def _find(self, secret_id: str) -> Secret:
        for secret in self._secrets.values():
            if secret_id in (secret.name, secret.arn, secret.arn.rpartition("-")[0]):
                return secret
        raise ServiceError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")

    def _add_version(
        self, secret: Secret, version_id: str, content: str | bytes, stages: set[str]
    ) -> Version:
        if not secret.versions:
            stages = stages | {"AWSCURRENT"}
        self._check_label_quota(secret, stages)
        self._prune(secret)
        if len(secret.versions) >= MAX_VERSIONS:
            raise ServiceError("LimitExceededException", f"A secret can have about {MAX_VERSIONS} versions.")
        version = Version(version_id, content, self._clock())
        secret.versions[version_id] = version
        self.ever_put.setdefault(secret.name, []).append(content)
        self._attach(secret, version, stages)
        return version

    @staticmethod
    def _check_label_quota(secret: Secret, stages: set[str]) -> None:
        attached = {stage for version in secret.versions.values() for stage in version.stages}
        if len(attached | stages) > MAX_LABELS:
            raise ServiceError(
                "LimitExceededException", f"A secret can have at most {MAX_LABELS} staging labels."
            )

    @staticmethod
    def _attach(secret: Secret, version: Version, stages: set[str]) -> None:
        for stage in stages:
            holder = secret.holder(stage)
            if holder is version:
                continue
            if holder is not None:
                holder.stages.discard(stage)
                if stage == "AWSCURRENT":
                    previous = secret.holder("AWSPREVIOUS")
                    if previous is not None:
                        previous.stages.discard("AWSPREVIOUS")
                    holder.stages.add("AWSPREVIOUS")
            version.stages.add(stage)

    def _prune(self, secret: Secret) -> None:
        """Makes room for one more version, if that can be done."""
        oldest_kept = self._clock() - PRUNE_AGE_SECONDS
        for version in list(secret.versions.values()):
            if len(secret.versions) < MAX_VERSIONS:
                return
            if not version.stages and version.created < oldest_kept:
                del secret.versions[version.version_id]
                secret.destroyed.append(version.version_id)


def _request_id() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}


def _signed_json(request: Request) -> dict[str, Any]:
    if not request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
        raise ServiceError("MissingAuthenticationTokenException", "The request is not signed")
    try:
        body = request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ServiceError("SerializationException", "The body is not a JSON object")
    return body


def _required(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ServiceError(
            "ValidationException", f"Value at '{name}' failed to satisfy constraint: must not be null"
        )
    return value


def _client_request_token(body: Mapping[str, Any]) -> str:
    token = body.get("ClientRequestToken")
    if token is None:
        # The SDK always fills it in; the raw API requires it.
        raise ServiceError("InvalidRequestException", "You must provide a ClientRequestToken value.")
    if len(token) not in TOKEN_LENGTHS:
        raise ServiceError("InvalidParameterException", "ClientRequestToken must be 32-64 characters long.")
    return str(token)


def _content(body: Mapping[str, Any]) -> str | bytes:
    text, binary = body.get("SecretString"), body.get("SecretBinary")
    if (text is None) == (binary is None):
        raise ServiceError("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
    content: str | bytes = base64.b64decode(str(binary)) if text is None else str(text)
    if not 1 <= len(content.encode() if isinstance(content, str) else content) <= MAX_VALUE_BYTES:
        raise ServiceError("ValidationException", "The secret value must have between 1 and 65536 bytes.")
    return content
