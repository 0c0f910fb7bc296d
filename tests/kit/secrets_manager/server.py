"""The service over HTTP, in the JSON 1.1 protocol that botocore speaks."""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, override

from tests.kit.secrets_manager.controls import ACCOUNT_ID, REGION, Call, Controls
from tests.kit.secrets_manager.rules import CURRENT, MAX_LABELS, Refused
from tests.kit.stand_ins.loopback import Request, Response

__all__ = ["ACCOUNT_ID", "REGION", "SecretsManager"]
MAX_VALUE_BYTES = 65_536
"""GetSecretValue/PutSecretValue: 'SecretString ... Maximum length of 65536'."""
TOKEN_LENGTHS = range(32, 65)


class SecretsManager(Controls):
    """The service. Each operation is atomic, as a call to the real one is."""

    @override
    def handle(self, request: Request) -> Response | None:
        operation = request.headers.get("x-amz-target", "").removeprefix("secretsmanager.")
        status, secret_id = 200, ""
        try:
            body = _signed_json(request)
            secret_id = str(body.get("SecretId", body.get("Name", "")))
            with self._lock:
                answer = self._dispatch(operation, body)
        except Refused as refused:
            status = refused.status
            answer = {"__type": refused.code, "Message": refused.message}
        self.calls.append(Call(operation, secret_id))
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
        return Response.of_json(answer, status, headers)

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
        if (code := next(self._refusals.get(operation, iter(())), None)) is not None:
            raise Refused(code, f"User is not authorized to perform: secretsmanager:{operation}")
        return run(body)

    def _create_secret(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = _required(body, "Name")
        if name in self._arns:
            raise Refused("ResourceExistsException", f"The operation failed because {name} already exists.")
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
    token = _required(body, "ClientRequestToken")
    if len(token) not in TOKEN_LENGTHS:
        raise Refused("InvalidParameterException", "ClientRequestToken must be 32-64 characters long.")
    return token


def _content(body: Mapping[str, Any]) -> str:
    content = _required(body, "SecretString")
    if len(content.encode()) > MAX_VALUE_BYTES:
        raise Refused("ValidationException", "The secret value must have between 1 and 65536 bytes.")
    return content
