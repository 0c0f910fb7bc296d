"""The front in process of the Secrets Manager model (tests/kit/secrets_manager): botocore's methods, as far as the
product calls them, and reads that are answered from an older state.
"""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tests.kit.secrets_manager.rules import CURRENT, MAX_VERSIONS, Refused, SecretVersions
from token_vending.ports import Clock

if TYPE_CHECKING:
    from tests.simulation.process import Process

__all__ = ["CURRENT", "MAX_VERSIONS", "SimulatedClient", "SimulatedSecretsManager", "client_error"]

_IN_THE_MODEL = {
    "SecretId": "name",
    "VersionId": "version",
    "ClientRequestToken": "version",
    "SecretString": "content",
    "VersionStage": "label",
    "VersionStages": "labels",
    "MoveToVersionId": "move_to",
    "RemoveFromVersionId": "remove_from",
}
"""What the model calls the parameters of AWS."""


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


class SimulatedClient:
    """botocore's client. `wire` carries every call, and may break any."""

    def __init__(self, service: SimulatedSecretsManager, wire: "Process") -> None:
        self._service = service
        self._wire = wire

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        operation = method.title().replace("_", "")
        perform = getattr(self._service, method)
        reads = method.startswith(("get_", "describe_", "list_"))

        def call(**arguments: Any) -> dict[str, Any]:
            # The model lists every version in one page.
            assert arguments.pop("IncludeDeprecated", True)
            assert arguments.pop("MaxResults", 0) <= MAX_VERSIONS
            given = {_IN_THE_MODEL[name]: value for name, value in arguments.items()}

            def answered(lag: int) -> dict[str, Any]:
                try:
                    return {"ARN": "simulated", **perform(**given, **({"lag": lag} if reads else {}))}
                except Refused as refused:
                    raise client_error(operation, refused.code, refused.status) from refused

            return self._wire.aws(operation, answered)

        return call


def client_error(operation: str, code: str, status: int = 400) -> ClientError:
    """What botocore raises for an error answer."""
    answer: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)
