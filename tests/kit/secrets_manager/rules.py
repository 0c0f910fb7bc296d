"""The rules: secrets, their versions, and the labels that move between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
MAX_LABELS = 20
"""Quota: 'Labels attached to all versions of a secret'."""
MAX_VERSIONS = 100
"""Secrets Manager makes room for the next one by deleting deprecated versions, but none of the last day."""
PRUNE_AGE = timedelta(days=1)
_HISTORY = 8

type Versions = Mapping[str, Version]


class Refused(Exception):
    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Version:
    """One version; frozen, so that states of different ages can share it."""

    content: Any
    created: datetime
    labels: frozenset[str] = frozenset()


@dataclass(slots=True)
class Secret:
    """One secret: its versions, oldest first, and what was."""

    versions: Versions = field(default_factory=dict)
    history: list[tuple[datetime, Versions]] = field(default_factory=list)
    """The states before the present one, each with the moment at which it ended."""
    destroyed: list[str] = field(default_factory=list)


class SecretVersions:
    """The service's state, and its operations as methods that either take effect whole or raise Refused.

    Answers are the API's, with contents and times as they are kept. `lag` asks for the state so many mutations
    ago, within `longest_lag`.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._secrets: dict[str, Secret] = {}
        self.ever_put: dict[str, list[str]] = {}
        """Secret's name → every content it ever had: what a leak test searches for."""
        self.longest_lag = timedelta(seconds=10)
        """How old a stale answer can be: replicas lag for moments, not for hours."""

    # Looking -------------------------------------------------------------------------------------------

    def secret(self, name: str) -> Secret:
        found = self._secrets.get(name)
        if found is None:
            raise Refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        return found

    def versions(self, name: str) -> Versions:
        return self.secret(name).versions

    def holder(self, name: str, label: str) -> str | None:
        """The version that a label lies on, in truth."""
        return _holder(self.versions(name), label)

    def labels(self, name: str) -> dict[str, str]:
        """Which version each label lies on, in truth."""
        return {label: version for version, held in self.versions(name).items() for label in held.labels}

    # Operations ----------------------------------------------------------------------------------------

    def create(self, name: str) -> None:
        """A secret without a version: the state after the first deployment."""
        self._secrets[name] = Secret()

    def get_secret_value(
        self, name: str, *, version: str | None = None, label: str | None = None, lag: int = 0
    ) -> dict[str, Any]:
        versions = self._state(name, lag)
        found = version if version is not None else _holder(versions, label or CURRENT)
        if found is None or found not in versions:
            what = f"VersionId: {version}" if version is not None else f"staging label: {label or CURRENT}"
            message = f"Secrets Manager can't find the specified secret value for {what}"
            raise Refused("ResourceNotFoundException", message)
        held = versions[found]
        if version is not None and label is not None and label not in held.labels:
            raise Refused("InvalidRequestException", "You provided a VersionStage that is not associated")
        return {"VersionId": found, "SecretString": held.content, **_dated(held)}

    def describe_secret(self, name: str, *, lag: int = 0) -> dict[str, Any]:
        """The labelled versions. Without any version the answer has no such field."""
        versions = self._state(name, lag)
        stages = {version: sorted(held.labels) for version, held in versions.items() if held.labels}
        return {"Name": name, **({"VersionIdsToStages": stages} if versions else {})}

    def list_secret_version_ids(self, name: str, *, lag: int = 0) -> dict[str, Any]:
        """Every version, the deprecated ones too, in one page."""
        versions = self._state(name, lag)
        return {"Versions": [{"VersionId": version, **_dated(held)} for version, held in versions.items()]}

    def put_secret_value(self, name: str, version: str, content: str, labels: list[str]) -> dict[str, Any]:
        """Idempotent on the version id (the ClientRequestToken)."""
        versions = self._state(name, 0)
        existing = versions.get(version)
        if existing is not None:
            if existing.content != content:
                message = f"You can't use ClientRequestToken {version} because that value is already in use."
                raise Refused("ResourceExistsException", message)
            return {"VersionId": version, "VersionStages": sorted(existing.labels)}
        wanted = set(labels) if versions else {*labels, CURRENT}
        changed: Versions = {**versions, version: Version(content, self._clock())}
        for label in sorted(wanted):
            changed = _attach(changed, label, version)
        gone = self._prunable(changed)
        if len(changed) - len(gone) > MAX_VERSIONS:
            raise Refused("LimitExceededException", f"A secret can have about {MAX_VERSIONS} versions.")
        self._commit(name, {known: held for known, held in changed.items() if known not in gone})
        self.secret(name).destroyed += gone
        self.ever_put.setdefault(name, []).append(content)
        return {"VersionId": version, "VersionStages": sorted(wanted)}

    def update_secret_version_stage(
        self, name: str, label: str, *, move_to: str | None = None, remove_from: str | None = None
    ) -> dict[str, Any]:
        """The compare-and-swap of a staging label."""
        versions = self._state(name, 0)
        for version in (move_to, remove_from):
            if version is not None and version not in versions:
                raise Refused("ResourceNotFoundException", f"Secrets Manager can't find version {version}.")
        holder = _holder(versions, label)
        if remove_from is not None and holder != remove_from:
            message = f"RemoveFromVersionId must be set to the version that has the staging label {label}."
            raise Refused("InvalidParameterException", message)
        if move_to is None:
            if remove_from is None:
                raise Refused("InvalidParameterException", "Specify RemoveFromVersionId or MoveToVersionId")
            if label == CURRENT:
                message = "You can only move staging label AWSCURRENT to a different secret version."
                raise Refused("InvalidParameterException", message)
            self._commit(name, _detach(versions, label, remove_from))
        else:
            if holder not in (None, move_to, remove_from):
                message = f"Staging label {label} is currently attached to version {holder}."
                raise Refused("InvalidParameterException", message)
            self._commit(name, _attach(versions, label, move_to))
        return {"Name": name}

    # State ---------------------------------------------------------------------------------------------

    def _state(self, name: str, lag: int) -> Versions:
        secret = self.secret(name)
        if not lag:
            return secret.versions
        oldest = self._clock() - self.longest_lag
        recent = [versions for ended, versions in secret.history if ended >= oldest]
        return ([*recent, secret.versions][::-1])[min(lag, len(recent))]

    def _commit(self, name: str, versions: Versions) -> None:
        secret = self.secret(name)
        if versions != secret.versions:
            secret.history.append((self._clock(), secret.versions))
            del secret.history[:-_HISTORY]
            secret.versions = versions

    def _prunable(self, versions: Versions) -> list[str]:
        surplus = max(0, len(versions) - MAX_VERSIONS)
        old = self._clock() - PRUNE_AGE
        return [name for name, held in versions.items() if not held.labels and held.created < old][:surplus]


def _dated(held: Version) -> dict[str, Any]:
    return {"VersionStages": sorted(held.labels), "CreatedDate": held.created}


def _holder(versions: Versions, label: str) -> str | None:
    return next((version for version, held in versions.items() if label in held.labels), None)


def _detach(versions: Versions, label: str, version: str) -> Versions:
    held = versions[version]
    return {**versions, version: replace(held, labels=held.labels - {label})}


def _attach(versions: Versions, label: str, version: str) -> Versions:
    changed = versions
    holder = _holder(changed, label)
    if holder == version:
        return changed
    attached = {known for held in versions.values() for known in held.labels}
    if len(attached | {label}) > MAX_LABELS:
        raise Refused("LimitExceededException", f"A secret can have at most {MAX_LABELS} staging labels.")
    if holder is not None:
        changed = _detach(changed, label, holder)
        if label == CURRENT:
            before = _holder(changed, PREVIOUS)
            if before is not None:
                changed = _detach(changed, PREVIOUS, before)
            held = changed[holder]
            changed = {**changed, holder: replace(held, labels=held.labels | {PREVIOUS})}
    held = changed[version]
    return {**changed, version: replace(held, labels=held.labels | {label})}
