"""What a test does to the stand-in, and asks it."""

import secrets
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self, override

from tests.kit.personr.rules import Personr
from tests.kit.personr.scenarios import Scenario
from tests.kit.stand_ins.loopback import LoopbackServer

API_PATH = "/api/1.1/wf"
MINT_PATH = f"{API_PATH}/api-basic-auth"
WHOAMI_PATH = f"{API_PATH}/whoami"
DEFAULT_EMAIL = "service-account@example.com"
DEFAULT_PASSWORD = "correct:horse battery stäple"
LIFETIME_SECONDS = 31_536_000


@dataclass(frozen=True)
class Seen:
    """One request as it arrived. Without credentials, so that records can be printed."""

    method: str
    path: str
    status: int | None
    """The answer's status; None when the connection was broken or left hanging."""
    content_type: str


class Controls(LoopbackServer):
    """The vendor's state, and what a test may do to it while it serves."""

    def __init__(
        self,
        port: int = 0,
        *,
        lifetime_seconds: int = LIFETIME_SECONDS,
        tls: ssl.SSLContext | None = None,
        destructive: bool = True,
    ) -> None:
        super().__init__(port, tls=tls)
        self._lifetime_seconds = lifetime_seconds
        self._rules = Personr(lambda: datetime.now(UTC), lambda *_: self._new_token())
        self._rules.idle_lifetime = None
        self._rules.destructive = self.destructive = destructive
        self._rules.set_password(DEFAULT_EMAIL, DEFAULT_PASSWORD)
        self._scripted: deque[Scenario] = deque()
        self._always: Scenario | None = None
        self._seen: list[Seen] = []
        self._lock = threading.RLock()
        self._stopping = threading.Event()

    @override
    def on_stop(self) -> None:
        self._stopping.set()
        self.reset_script()

    @override
    def start(self) -> Self:
        self._stopping.clear()
        return super().start()

    def script(self, *scenarios: Scenario) -> None:
        """Queue misbehaviour; each is consumed by one mint request."""
        self._scripted.extend(scenarios)

    def always(self, scenario: Scenario | None) -> None:
        """Misbehave at every mint that no scripted scenario is left for; None ends it."""
        self._always = scenario

    def reset_script(self) -> None:
        with self._lock:
            self._scripted.clear()
            self._always = None

    def mint_elsewhere(self, email: str = DEFAULT_EMAIL) -> str:
        """Mint as somebody else with the same account would: the live token dies."""
        with self._lock:
            return self._rules.mint_elsewhere(email).token

    def kill(self, email: str = DEFAULT_EMAIL) -> None:
        """Let the live token die without a successor, as an idle one does."""
        with self._lock:
            self._rules.kill(email)

    def set_password(self, password: str, email: str = DEFAULT_EMAIL) -> None:
        with self._lock:
            self._rules.set_password(email, password)

    def live_token(self, email: str = DEFAULT_EMAIL) -> str | None:
        with self._lock:
            return self._rules.live_token(email)

    def is_live(self, token: str | None) -> bool:
        with self._lock:
            return token is not None and self._rules.works(token)

    def mint_count(self) -> int:
        """Return how many mints took effect, foreign ones included."""
        return len(self._rules.history)

    @property
    def seen(self) -> list[Seen]:
        return list(self._seen)

    @property
    def ever_minted(self) -> list[str]:
        """Every token ever minted, live or dead: what a leak test searches for."""
        return [mint.token for mint in list(self._rules.history)]

    def _new_token(self) -> str:
        return f"bus|{_bubble_id()}|{_bubble_id()}"


def _bubble_id() -> str:
    return f"{int(time.time() * 1000)}x{secrets.randbelow(10**18):018d}"
