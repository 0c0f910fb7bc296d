"""AWS Secrets Manager in memory, behind the four methods of botocore's client that the product calls.

It keeps the rules of the strict HTTP stand-in (tests/kit/stand_ins/secrets_manager.py); the contract suite
runs the real adapter over both. What it adds: a history, so that a read can be answered from an older state.
"""

# ruff: noqa: N803 - botocore names its parameters as AWS does

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

from botocore.exceptions import ClientError

from token_vending.ports import Clock

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
MAX_LABELS = 20
MAX_VERSIONS = 100
PRUNE_AGE = timedelta(days=1)
_HISTORY = 8


@dataclass(frozen=True, slots=True)
class Version:
    """One version; frozen, so that states of different ages can share it."""

    content: str
    created: datetime
    labels: frozenset[str] = frozenset()


type Versions = Mapping[str, Version]


@dataclass(slots=True)
class _Secret:
    versions: Versions = field(default_factory=dict)
    history: list[tuple[datetime, Versions]] = field(default_factory=list)
    """The states before the present one, each with the moment at which it ended."""


class SimulatedSecretsManager:
    """The service's state, and its operations as methods that either take effect whole or raise ClientError."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._secrets: dict[str, _Secret] = {}
        self._ids = itertools.count(1)
        self.longest_lag = timedelta(seconds=10)
        """How old a stale answer can be: replicas lag for moments, not for hours."""

    # Controls ------------------------------------------------------------------------------------------

    def create(self, secret_id: str) -> None:
        """A secret without a version: the state after the first deployment."""
        self._secrets[secret_id] = _Secret()

    def new_version_id(self) -> str:
        """In place of a UUID: as long, never the same twice, the same in every replay."""
        return f"{next(self._ids):08x}-0000-4000-8000-000000000000"

    def put(self, secret_id: str, content: str) -> str:
        """A new current version, as an operator makes one; returns its id."""
        version = self.new_version_id()
        self.put_secret_value(secret_id, version, content, [CURRENT])
        return version

    def versions(self, secret_id: str) -> Versions:
        """Every version there is, oldest first."""
        return self._secrets[secret_id].versions

    def holder(self, secret_id: str, label: str) -> str | None:
        """The version that a label lies on, in truth."""
        return _holder(self._secrets[secret_id].versions, label)

    def labels(self, secret_id: str) -> dict[str, str]:
        """Which version each label lies on, in truth."""
        return {label: version for version, held in self.versions(secret_id).items() for label in held.labels}

    # Operations ----------------------------------------------------------------------------------------

    def get_secret_value(
        self, secret_id: str, *, version: str | None = None, label: str | None = None, lag: int = 0
    ) -> dict[str, Any]:
        """By id or by label; `lag` mutations ago."""
        versions = self._state("GetSecretValue", secret_id, lag)
        found = version if version is not None else _holder(versions, label or CURRENT)
        if found is None or found not in versions:
            _refuse("GetSecretValue", "ResourceNotFoundException")
        held = versions[found]
        return {
            "VersionId": found,
            "SecretString": held.content,
            "VersionStages": sorted(held.labels),
            "CreatedDate": held.created,
        }

    def describe_secret(self, secret_id: str, *, lag: int = 0) -> dict[str, Any]:
        """The labelled versions. Without any version the answer has no such field."""
        versions = self._state("DescribeSecret", secret_id, lag)
        stages = {version: sorted(held.labels) for version, held in versions.items() if held.labels}
        return {"Name": secret_id, **({"VersionIdsToStages": stages} if versions else {})}

    def list_secret_version_ids(self, secret_id: str, *, lag: int = 0) -> dict[str, Any]:
        """Every version, the deprecated ones too, in one page."""
        versions = self._state("ListSecretVersionIds", secret_id, lag)
        return {
            "Versions": [
                {"VersionId": version, "VersionStages": sorted(held.labels), "CreatedDate": held.created}
                for version, held in versions.items()
            ]
        }

    def put_secret_value(
        self, secret_id: str, version: str, content: str, labels: list[str]
    ) -> dict[str, Any]:
        """Idempotent on the version id (the ClientRequestToken)."""
        operation = "PutSecretValue"
        versions = self._state(operation, secret_id, 0)
        existing = versions.get(version)
        if existing is not None:
            if existing.content != content:
                _refuse(operation, "ResourceExistsException")
            return {"VersionId": version, "VersionStages": sorted(existing.labels)}
        wanted = set(labels) if versions else {*labels, CURRENT}
        changed = {**versions, version: Version(content, self._clock())}
        for label in sorted(wanted):
            changed = _attach(operation, changed, label, version)
        kept = self._pruned(changed)
        if len(kept) > MAX_VERSIONS:
            _refuse(operation, "LimitExceededException")
        self._commit(secret_id, kept)
        return {"VersionId": version, "VersionStages": sorted(wanted)}

    def update_secret_version_stage(
        self, secret_id: str, label: str, *, move_to: str | None = None, remove_from: str | None = None
    ) -> dict[str, Any]:
        """The compare-and-swap of a staging label."""
        operation = "UpdateSecretVersionStage"
        versions = self._state(operation, secret_id, 0)
        for version in (move_to, remove_from):
            if version is not None and version not in versions:
                _refuse(operation, "ResourceNotFoundException")
        holder = _holder(versions, label)
        if remove_from is not None and holder != remove_from:
            _refuse(operation, "InvalidParameterException")
        if move_to is None:
            if remove_from is None or label == CURRENT:
                _refuse(operation, "InvalidParameterException")
            self._commit(secret_id, _detach(versions, label, remove_from))
        else:
            if holder not in (None, move_to, remove_from):
                _refuse(operation, "InvalidParameterException")
            self._commit(secret_id, _attach(operation, versions, label, move_to))
        return {"Name": secret_id}

    # State ---------------------------------------------------------------------------------------------

    def _state(self, operation: str, secret_id: str, lag: int) -> Versions:
        secret = self._secrets.get(secret_id)
        if secret is None:
            _refuse(operation, "ResourceNotFoundException")
        oldest = self._clock() - self.longest_lag
        recent = [versions for ended, versions in secret.history if ended >= oldest]
        return ([*recent, secret.versions][::-1])[min(lag, len(recent))]

    def _commit(self, secret_id: str, versions: Versions) -> None:
        secret = self._secrets[secret_id]
        if versions != secret.versions:
            secret.history.append((self._clock(), secret.versions))
            del secret.history[:-_HISTORY]
            secret.versions = versions

    def _pruned(self, versions: dict[str, Version]) -> Versions:
        surplus = len(versions) - MAX_VERSIONS
        if surplus <= 0:
            return versions
        old = self._clock() - PRUNE_AGE
        gone = [version for version, held in versions.items() if not held.labels and held.created < old]
        return {version: held for version, held in versions.items() if version not in gone[:surplus]}


class Wire(Protocol):
    """The way to the service and back."""

    def aws(self, operation: str, perform: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
        """Carry one call; `perform` takes the lag, in mutations, of what it reads."""


class SimulatedClient:
    """botocore's client, as far as the product uses it. `wire` carries every call, and may break any."""

    def __init__(self, service: SimulatedSecretsManager, wire: Wire) -> None:
        self._service = service
        self._wire = wire

    def get_secret_value(
        self, *, SecretId: str, VersionId: str | None = None, VersionStage: str | None = None
    ) -> dict[str, Any]:
        return self._wire.aws(
            "GetSecretValue",
            lambda lag: self._service.get_secret_value(
                SecretId, version=VersionId, label=VersionStage, lag=lag
            ),
        )

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:
        return self._wire.aws("DescribeSecret", lambda lag: self._service.describe_secret(SecretId, lag=lag))

    def list_secret_version_ids(
        self, *, SecretId: str, IncludeDeprecated: bool, MaxResults: int
    ) -> dict[str, Any]:
        assert IncludeDeprecated
        assert MaxResults <= MAX_VERSIONS
        return self._wire.aws(
            "ListSecretVersionIds", lambda lag: self._service.list_secret_version_ids(SecretId, lag=lag)
        )

    def put_secret_value(
        self, *, SecretId: str, ClientRequestToken: str, SecretString: str, VersionStages: list[str]
    ) -> dict[str, Any]:
        return self._wire.aws(
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
        return self._wire.aws(
            "UpdateSecretVersionStage",
            lambda _: self._service.update_secret_version_stage(
                SecretId, VersionStage, move_to=MoveToVersionId, remove_from=RemoveFromVersionId
            ),
        )


def client_error(operation: str, code: str, status: int = 400) -> ClientError:
    """What botocore raises for an error answer."""
    answer: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


def _refuse(operation: str, code: str) -> NoReturn:
    raise client_error(operation, code)


def _holder(versions: Versions, label: str) -> str | None:
    return next((version for version, held in versions.items() if label in held.labels), None)


def _detach(versions: Versions, label: str, version: str) -> dict[str, Version]:
    held = versions[version]
    return {**versions, version: Version(held.content, held.created, held.labels - {label})}


def _attach(operation: str, versions: Versions, label: str, version: str) -> dict[str, Version]:
    changed = dict(versions)
    holder = _holder(changed, label)
    if holder == version:
        return changed
    attached = {known for held in versions.values() for known in held.labels}
    if len(attached | {label}) > MAX_LABELS:
        _refuse(operation, "LimitExceededException")
    if holder is not None:
        changed = _detach(changed, label, holder)
        if label == CURRENT:
            before = _holder(changed, PREVIOUS)
            if before is not None:
                changed = _detach(changed, PREVIOUS, before)
            held = changed[holder]
            changed[holder] = Version(held.content, held.created, held.labels | {PREVIOUS})
    held = changed[version]
    changed[version] = Version(held.content, held.created, held.labels | {label})
    return changed
