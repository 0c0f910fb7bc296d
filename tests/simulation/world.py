"""The facade: one stack with the product's own code in it, and everything else simulated.

    world = World().minted()
    world.clock.advance(timedelta(days=21))
    world.run({"id": "tick"})                    # mints again: Report(outcome=refreshed)
    assert world.token_works()

The store is the real adapter (`SecretsManagerStore`) over a simulated client, so what is simulated begins
at the API of AWS; the vendor is simulated at its port.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError

from tests.kit.personr.rules import Personr
from tests.simulation.clock import SimulatedClock
from tests.simulation.faults import Weather, fair
from tests.simulation.process import Process, SteppedRun
from tests.simulation.secrets_manager import CURRENT, SimulatedClient, SimulatedSecretsManager
from token_vending.accounts import Accounts
from token_vending.adapters.secrets_manager import SecretsManagerCredentials, SecretsManagerStore
from token_vending.due import Rules
from token_vending.errors import StoreUnavailable
from token_vending.handing_out import HandOutDesk
from token_vending.ports import LOCK
from token_vending.records import read_record
from token_vending.refreshing import Refresher, Report
from token_vending.requests import RefreshRequest
from token_vending.token import Intent, Token

TOKEN = "token"
CREDENTIALS = "credentials"
STANDBY = "standby-credentials"
EMAIL = "service-account@example.com"
STANDBY_EMAIL = "standby-account@example.com"
# A version's content never changes and a record is frozen: what is asked for at each step is read once.
read_once = functools.lru_cache(64)(read_record)


@dataclass(slots=True)
class RefreshProcess:
    """One execution environment of the refresh function: its wire, and the use case that lives in it."""

    wire: Process
    refresher: Refresher


@dataclass(slots=True)
class Started:
    """`ports.RefreshStarter`: keeps the events that the vend function sent, for the test to deliver."""

    events: list[dict[str, object]] = field(default_factory=list)

    def start(self, event: Mapping[str, object]) -> None:
        """Always succeeds."""
        self.events.append(dict(event))

    def taken(self) -> list[dict[str, object]]:
        """What was sent since the last time."""
        events, self.events = self.events, []
        return events


@dataclass(slots=True)
class _Reader:
    """`ports.TokenReader`: what the vend function's own reader does, over the simulated client."""

    client: SimulatedClient

    def read_current(self) -> Token | Intent | None:
        """Raises StoreUnavailable."""
        try:
            answer = self.client.get_secret_value(SecretId=TOKEN, VersionStage=CURRENT)
        except (ClientError, BotoCoreError) as error:
            if "ResourceNotFoundException" in str(error):
                return None
            raise StoreUnavailable("simulated") from error
        return read_once(answer["VersionId"], answer["SecretString"])


class World:
    """One stack. `rules` are the operator's settings; `standby` gives it a second account, `probe` a probe URL."""

    def __init__(self, *, rules: Rules | None = None, standby: bool = False, probe: bool = False) -> None:
        self.clock = SimulatedClock()
        self.personr = Personr(self.clock)
        self.secrets = SimulatedSecretsManager(self.clock)
        self.rules = rules or Rules()
        self.standby = standby
        self.probe = probe
        self.started = Started()
        self._requests = 0
        for secret in (TOKEN, CREDENTIALS, STANDBY):
            self.secrets.create(secret)

    # Operators -----------------------------------------------------------------------------------------

    def minted(self) -> Self:
        """With right credentials and a working token."""
        self.set_credentials("right")
        if self.standby:
            self.set_credentials("right too", standby=True)
        self.run({"id": "first"})
        assert self.token_works()
        return self

    def set_credentials(self, password: str, *, at_vendor: bool = True, standby: bool = False) -> str:
        """Store credentials, and unless told otherwise make them right at the vendor; the version's id."""
        email, secret = (STANDBY_EMAIL, STANDBY) if standby else (EMAIL, CREDENTIALS)
        if at_vendor:
            self.personr.set_password(email, password)
        return self.secrets.put(secret, json.dumps({"email": email, "password": password}))

    # Functions -----------------------------------------------------------------------------------------

    def refresh_process(
        self,
        *,
        clock: SimulatedClock | None = None,
        # Full jitter's longest pause: the one that uses up the most time.
        jitter: Callable[[float, float], float] = lambda _, longest: longest,
    ) -> RefreshProcess:
        """A cold start of the refresh function; with a clock of its own, its time is not everybody's."""
        clock = clock or self.clock
        wire = Process(clock, self.personr)
        client = SimulatedClient(self.secrets, wire)
        standby = SecretsManagerCredentials(client, STANDBY, account="standby") if self.standby else None
        refresher = Refresher(
            store=SecretsManagerStore(client, TOKEN),
            accounts=Accounts(SecretsManagerCredentials(client, CREDENTIALS), standby),
            issuer=wire,
            clock=clock,
            sleep=clock.sleep,
            jitter=jitter,
            new_version=self.secrets.new_version_id,
            rules=self.rules,
            probe=self.probe,
        )
        return RefreshProcess(wire, refresher)

    def run(
        self, event: object = None, *, process: RefreshProcess | None = None, weather: Weather = fair
    ) -> Report:
        """One invocation of the refresh function, from beginning to end, cold unless a process is given.

        Raises what the use case raises, and Killed.
        """
        process = process or self.refresh_process()
        request = self._request(event)
        process.wire.invoke(weather)
        return process.refresher.run(request, process.wire.time_left)

    def begin(
        self, event: object = None, *, process: RefreshProcess | None = None, weather: Weather = fair
    ) -> SteppedRun:
        """The same, standing before its first call: to be stepped. Kill it if it is not run to its end."""
        process = process or self.refresh_process()
        return SteppedRun(process.wire, lambda: self.run(event, process=process, weather=weather))

    def vendor(
        self, *, wire: Process | None = None, cache_for: timedelta = timedelta(seconds=300)
    ) -> HandOutDesk:
        """A cold start of the vend function. What it starts is kept in `started.events`."""
        wire = wire or Process(self.clock, self.personr)
        return HandOutDesk(
            store=_Reader(SimulatedClient(self.secrets, wire)),
            refresh=self.started,
            clock=self.clock,
            cache_for=cache_for,
            min_age=self.rules.min_age,
            probed=self.probe,
        )

    # The truth -----------------------------------------------------------------------------------------

    def token(self) -> Token | None:
        """The token that AWSCURRENT lies on."""
        record = self._record(self.secrets.holder(TOKEN, CURRENT))
        return record if isinstance(record, Token) else None

    def stored(self) -> Token:
        """The same, where there is one."""
        token = self.token()
        assert token is not None
        return token

    def lock(self) -> Intent | None:
        """The intent that the lock lies on."""
        record = self._record(self.secrets.holder(TOKEN, LOCK))
        return record if isinstance(record, Intent) else None

    def stored_password(self, secret: str) -> str:
        """What AWSCURRENT of a secret of credentials holds; empty without a version."""
        holder = self.secrets.holder(secret, CURRENT)
        content = self.secrets.versions(secret)[holder].content if holder is not None else "{}"
        return str(json.loads(content).get("password", ""))

    def token_works(self) -> bool:
        """Whether the vendor answers to the token in the store."""
        token = self.token()
        return token is not None and self.personr.works(token.access_token())

    def _record(self, version: str | None) -> Token | Intent | None:
        if version is None:
            return None
        return read_once(version, self.secrets.versions(TOKEN)[version].content)

    def _request(self, event: object) -> RefreshRequest:
        self._requests += 1
        return RefreshRequest.parse({} if event is None else event, default_id=f"request-{self._requests}")
