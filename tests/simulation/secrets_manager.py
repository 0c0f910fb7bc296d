"""The front in process of the Secrets Manager model (tests/kit/secrets_manager): the methods of botocore's client
that the product calls, and reads that are answered from an older state.
"""

# ruff: noqa: N803 - botocore names its parameters as AWS does

import itertools
from collections.abc import Callable
from typing import Any, Protocol

from botocore.exceptions import ClientError

from tests.kit.secrets_manager.rules import CURRENT, MAX_VERSIONS, Refused, SecretVersions
from token_vending.ports import Clock

__all__ = ["CURRENT", "MAX_VERSIONS", "SimulatedClient", "SimulatedSecretsManager", "client_error"]


class SimulatedSecretsManager(SecretVersions):
    """The model with version ids that are the same in every replay."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._ids = itertools.count(1)

    def new_version_id(self) -> str:
        """In place of a UUID: as long, never the same twice, the same in every replay."""
        return f"{next(self._ids):08x}-0000-4000-8000-000000000000"

    def put(self, secret_id: str, content: str) -> str:
        """A new current version, as an operator makes one; returns its id."""
        version = self.new_version_id()
        self.put_secret_value(secret_id, version, content, [CURRENT])
        return version


class Wire(Protocol):
    """The way to the service and back."""

    def aws(self, operation: str, perform: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
        """Carry one call; `perform` takes the lag, in mutations, of what it reads."""


class SimulatedClient:
    """botocore's client, as far as the product uses it. `wire` carries every call, and may break any."""

    def __init__(self, service: SimulatedSecretsManager, wire: Wire) -> None:
        self._service = service
        self._wire = wire

    def _carry(self, operation: str, perform: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
        def answered(lag: int) -> dict[str, Any]:
            try:
                return {"ARN": "simulated", **perform(lag)}
            except Refused as refused:
                raise client_error(operation, refused.code, refused.status) from refused

        return self._wire.aws(operation, answered)

    def get_secret_value(
        self, *, SecretId: str, VersionId: str | None = None, VersionStage: str | None = None
    ) -> dict[str, Any]:
        return self._carry(
            "GetSecretValue",
            lambda lag: self._service.get_secret_value(
                SecretId, version=VersionId, label=VersionStage, lag=lag
            ),
        )

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:
        return self._carry("DescribeSecret", lambda lag: self._service.describe_secret(SecretId, lag=lag))

    def list_secret_version_ids(
        self, *, SecretId: str, IncludeDeprecated: bool, MaxResults: int
    ) -> dict[str, Any]:
        assert IncludeDeprecated
        assert MaxResults <= MAX_VERSIONS
        return self._carry(
            "ListSecretVersionIds", lambda lag: self._service.list_secret_version_ids(SecretId, lag=lag)
        )

    def put_secret_value(
        self, *, SecretId: str, ClientRequestToken: str, SecretString: str, VersionStages: list[str]
    ) -> dict[str, Any]:
        return self._carry(
            "PutSecretValue",
            lambda _: self._service.put_secret_value(
                SecretId, ClientRequestToken, SecretString, VersionStages
            ),
        )

    def update_secret_version_stage(
        self,
        *,
        SecretId: str,
        VersionStage: str,
        MoveToVersionId: str | None = None,
        RemoveFromVersionId: str | None = None,
    ) -> dict[str, Any]:
        return self._carry(
            "UpdateSecretVersionStage",
            lambda _: self._service.update_secret_version_stage(
                SecretId, VersionStage, move_to=MoveToVersionId, remove_from=RemoveFromVersionId
            ),
        )


def client_error(operation: str, code: str, status: int = 400) -> ClientError:
    """What botocore raises for an error answer."""
    answer: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)
