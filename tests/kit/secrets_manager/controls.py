"""What a test does to the stand-in, and asks it."""

import itertools
import json
import secrets
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kit.secrets_manager.rules import CURRENT, SecretVersions
from tests.kit.stand_ins.loopback import LoopbackServer

REGION = "eu-west-1"
ACCOUNT_ID = "111122223333"


@dataclass(frozen=True)
class Call:
    operation: str
    secret_id: str


class Controls(LoopbackServer):
    """The service's state, under one lock, and what a test may do to it while it serves."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.calls: list[Call] = []
        self._rules = SecretVersions(lambda: datetime.now(UTC))
        self.ever_put = self._rules.ever_put
        self._arns: dict[str, str] = {}
        self._refusals: dict[str, Iterator[str]] = {}
        self._lock = threading.RLock()

    def create(self, name: str, content: object | None = None) -> str:
        """Create a secret (without a version if ``content`` is None); return its ARN."""
        with self._lock:
            arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{name}-{secrets.token_hex(3)}"
            self._arns[name] = arn
            self._rules.create(name)
        if content is not None:
            self.put(name, content)
        return arn

    def put(self, name: str, content: object, stages: tuple[str, ...] = (CURRENT,)) -> str:
        """Put a version as an operator would; return its id. Non-strings become JSON."""
        text = content if isinstance(content, str) else json.dumps(content)
        with self._lock:
            return str(self._rules.put_secret_value(name, str(uuid.uuid4()), text, list(stages))["VersionId"])

    def empty(self, name: str) -> None:
        """Forget a secret's versions, as if it had just been created."""
        with self._lock:
            self._rules.create(name)

    def value(self, name: str, stage: str = CURRENT) -> Any:
        """Return the parsed JSON of the version that holds a label; None if none does."""
        version = self.version_of(name, stage)
        return None if version is None else json.loads(self._rules.versions(name)[version].content)

    def version_of(self, name: str, stage: str = CURRENT) -> str | None:
        return self._rules.holder(name, stage)

    def labels(self, name: str) -> dict[str, str]:
        return self._rules.labels(name)

    def versions(self, name: str) -> dict[str, Any]:
        """Return version id → parsed content, oldest first, deprecated ones included."""
        return {version: json.loads(held.content) for version, held in self._rules.versions(name).items()}

    def destroyed(self, name: str) -> list[str]:
        return list(self._rules.secret(name).destroyed)

    def rewrite(self, name: str, version_id: str, change: Callable[[Any], Any]) -> None:
        """Change a version's JSON in place (no real caller can): how a test ages what the product stored."""
        with self._lock:
            secret = self._rules.secret(name)
            held = secret.versions[version_id]
            content = json.dumps(change(json.loads(held.content)))
            secret.versions = {**secret.versions, version_id: replace(held, content=content)}

    def age(self, name: str, seconds: float) -> None:
        with self._lock:
            secret = self._rules.secret(name)
            by = timedelta(seconds=seconds)
            secret.versions = {
                version: replace(held, created=held.created - by) for version, held in secret.versions.items()
            }

    def refuse(
        self, operation: str, code: str = "AccessDeniedException", *, times: int | None = None
    ) -> None:
        """Answer an operation with an error, so many times or until :meth:`allow`. A denial of KMS looks like
        this, too.
        """
        self._refusals[operation] = iter([code] * times) if times is not None else itertools.repeat(code)

    def allow(self) -> None:
        self._refusals.clear()

    def counts(self) -> Counter[str]:
        return Counter(call.operation for call in list(self.calls))

    def snapshot(self) -> dict[str, Any]:
        return {name: dict(self._rules.versions(name)) for name in self._arns}
