"""What can happen to one stack. `must_hold` says what must be true whatever happens; `test_walks` chooses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.simulation import must_hold
from tests.simulation.faults import AWS_KINDS, MINT, VENDOR_KINDS, Call, Fault, Killed, Weather
from tests.simulation.process import Process, SteppedRun
from tests.simulation.secrets_manager import MAX_VERSIONS
from tests.simulation.world import CREDENTIALS, EMAIL, STANDBY, STANDBY_EMAIL, TOKEN, RefreshProcess, World
from token_vending.errors import TokenVendingError
from token_vending.handing_out import HandOutDesk
from token_vending.history import FREE_FAILURES
from token_vending.requests import VendRequest


@dataclass(frozen=True, slots=True)
class Misfortune:
    """What befalls the `index`-th call of a run, and if it `goes_on` all calls after it; or `mints` alone.

    `number` chooses among the kinds that fit the call, `amount` how stale a read is or how late a mint lands.
    """

    index: int
    number: int
    amount: int = 1
    goes_on: bool = True
    mints: bool = False

    def befalls(self, call: Call) -> bool:
        fits = call.operation == MINT or not self.mints
        return fits and (call.index == self.index or (self.goes_on and call.index > self.index))

    def fault(self, call: Call) -> Fault:
        kinds = VENDOR_KINDS if call.operation == MINT else AWS_KINDS
        return Fault(kinds[self.number % len(kinds)], mutations=self.amount, seconds=self.amount * 75.0)


type BadLuck = Sequence[Misfortune]


@dataclass
class Slot:
    """One execution environment, and the run that stands in it, if any."""

    process: RefreshProcess
    run: SteppedRun | None = None
    intents: set[str] = field(default_factory=set)
    event: dict[str, Any] = field(default_factory=dict)
    question_was_open: bool = False
    """Whether, before this run wrote its intent, the lock lay on an unfinished one."""
    puts: int = 0
    """By this run."""
    mints_sent: int = 0
    """By this process, before this run."""
    known: set[str] = field(default_factory=set)
    """Every token that the vendor had minted before this run."""


class Model:
    """One stack under everything that can happen to it, and a tally of what may cost a mint."""

    def __init__(self, *, standby: bool = False, probe: bool = False, right: bool = True) -> None:
        self.world = World(standby=standby, probe=probe)
        self.began = self.world.clock()
        self.slots = [self._cold(), self._cold()]
        self.desks = [self._cold_desk(), self._cold_desk()]
        self.delivered: list[dict[str, Any]] = []
        self.versions_seen: list[str] = ["00000000-never-existed-0000-000000000000"]
        self.forced: set[str] = set()
        self.complained_about: set[str] = set()
        self.credentials_set = 0
        self.mishaps = 0
        self.unsuccessful = 0
        """Runs that brought no token: only they may make others wait."""
        self.overlapping = 0
        """Runs beside another one: each may repeat refused credentials."""
        self.landings_seen = 0
        self.wrong: set[tuple[str, str]] = set()
        if standby:
            self.credentials_change(right=True, standby=True)
        self.credentials_change(right=right or standby, standby=False)

    # Runs ----------------------------------------------------------------------------------------------

    def runs(self, slot: int, event: str, bad: BadLuck, *, warm: bool) -> None:
        """A run from beginning to end, beside whatever else is under way."""
        given = self._event(event)
        where = self.slots[slot]
        if not warm or where.run is not None or where.process.wire.dead:
            where = self._cold()
            if self.slots[slot].run is None:
                self.slots[slot] = where
        self.overlapping += any(other.run is not None for other in self.slots)
        try:
            report = self.world.run(given, process=where.process, weather=self._weather(where, given, bad))
        except (Killed, TokenVendingError):
            self.unsuccessful += 1
        else:
            must_hold.what_a_run_says_is_true(self, where, report)

    def many_runs_fail(self, event: str, number: int) -> None:
        """The vendor is down for a while: more runs fail in a row than may without a pause.

        A person does not wait for the pause, and who forces a hundred times a day reaches the quota of
        versions (docs/evidence/reliability.md, "What is assumed").
        """
        if len(self.world.secrets.versions(TOKEN)) > MAX_VERSIONS - 4 * FREE_FAILURES:
            self.time_passes(timedelta(days=1))
            return
        for _ in range(FREE_FAILURES + 2):
            self.runs(0, event, [Misfortune(0, number, mints=True)], warm=False)
            must_hold.check(self)
            self.time_passes(timedelta(seconds=61))

    def begins(self, slot: int, event: str, bad: BadLuck) -> None:
        """A run that will move call by call."""
        where = self.slots[slot]
        if where.run is not None:
            self.moves(slot, 1)
            return
        if where.process.wire.dead:
            where = self.slots[slot] = self._cold()
        self.overlapping += 1
        given = self._event(event)
        where.run = self.world.begin(given, process=where.process, weather=self._weather(where, given, bad))

    def moves(self, slot: int, calls: int) -> None:
        """The run that stands there, or else the other one."""
        where = self.slots[slot] if self.slots[slot].run else self.slots[1 - slot]
        for _ in range(calls):
            if where.run is None:
                break
            where.run.step()
            self._look_after(where)
            must_hold.check(self)

    def is_killed(self, slot: int) -> None:
        self._kill(self.slots[slot] if self.slots[slot].run else self.slots[1 - slot])

    def ends(self) -> None:
        """No run stays behind in its thread."""
        for where in self.slots:
            if where.run is not None:
                where.run.kill()
                where.run = None

    # What others do ------------------------------------------------------------------------------------

    def time_passes(self, duration: timedelta) -> None:
        self.world.clock.advance(duration)
        for where in self.slots:
            if where.run is not None and where.process.wire.time_left() <= 0:
                self._kill(where)

    def somebody_else_mints(self) -> None:
        self.world.personr.mint_elsewhere(EMAIL)

    def credentials_change(self, *, right: bool, standby: bool) -> None:
        standby = standby and self.world.standby
        self.credentials_set += 1
        password = f"{'right' if right else 'wrong'}-{self.credentials_set}"
        self.world.set_credentials(password, standby=standby)
        if not right:
            email = STANDBY_EMAIL if standby else EMAIL
            self.world.personr.set_password(email, f"other-{self.credentials_set}")
            self.wrong.add((email, password))

    def credentials_roll_back(self, *, standby: bool) -> None:
        """An operator puts AWSCURRENT of the credentials back on the version before."""
        both = standby and self.world.standby
        secret, email = (STANDBY, STANDBY_EMAIL) if both else (CREDENTIALS, EMAIL)
        labels = self.world.secrets.labels(secret)
        if "AWSPREVIOUS" not in labels:
            return
        self.credentials_set += 1
        self.world.secrets.update_secret_version_stage(
            secret, "AWSCURRENT", move_to=labels["AWSPREVIOUS"], remove_from=labels["AWSCURRENT"]
        )
        password = self.world.stored_password(secret)
        if not self.world.personr.accepts(email, password):
            self.wrong.add((email, password))

    def a_caller_asks(self, desk: int, complaint: str, wish_days: int, bad: BadLuck) -> None:
        """A caller asks one of two processes of the vend function, which bad weather may befall."""
        if self.desks[desk][0].dead:
            self.desks[desk] = self._cold_desk()
        wire, vendor = self.desks[desk]
        wire.invoke(lambda call: next((luck.fault(call) for luck in bad if luck.befalls(call)), None))
        token = self.world.token()
        rejected = None
        if complaint == "current" and token is not None:
            rejected = token.version
        elif complaint == "old":
            rejected = self.versions_seen[-2:][0]
        if rejected is not None:
            self.complained_about.add(rejected)
        if token is not None and wish_days:
            self.complained_about.add(token.version)
        now = self.world.clock()
        try:
            given = vendor.hand_out(VendRequest(rejected, wish_days * 86_400))
        except (TokenVendingError, Killed):
            return
        assert given.token.expires_at > now
        assert given.expires_in > 0
        assert given.token.version != rejected
        copied = given.cache_hit or given.warning is not None or bool(bad)
        assert copied or (token is not None and given.token.version == token.version)

    # Inside --------------------------------------------------------------------------------------------

    def _cold_desk(self) -> tuple[Process, HandOutDesk]:
        wire = Process(self.world.clock, self.world.personr)
        return wire, self.world.vendor(wire=wire)

    def _cold(self) -> Slot:
        slot = Slot(self.world.refresh_process())
        make = slot.process.refresher.new_version

        def recorded() -> str:
            version = make()
            slot.intents.add(version)
            return version

        slot.process.refresher.new_version = recorded
        return slot

    def _event(self, kind: str) -> dict[str, Any]:
        if kind == "again" and self.delivered:
            return self.delivered[-1 - len(self.delivered) % min(3, len(self.delivered))]
        token = self.world.token()
        version = token.version if token is not None else self.versions_seen[0]
        if kind == "started by vend" and self.world.started.events:
            event: dict[str, Any] = self.world.started.events.pop()
        else:
            event = {"id": f"event-{len(self.delivered)}"}
            if kind == "force":
                event["force"] = True
                self.forced.add(event["id"])
            elif kind == "reject":
                event["rejected_version"] = version
            elif kind == "reject old":
                event["rejected_version"] = self.versions_seen[-2:][0]
            elif kind == "longer life":
                event |= {"rejected_version": version, "force": True}
        if "rejected_version" in event:
            self.complained_about.add(event["rejected_version"])
        self.delivered.append(event)
        return event

    def _weather(self, where: Slot, event: dict[str, Any], bad: BadLuck) -> Weather:
        where.event, where.question_was_open, where.puts = event, False, 0
        where.mints_sent = where.process.wire.mints_sent
        where.known = {mint.token for mint in self.world.personr.history}

        def weather(call: Call) -> Fault | None:
            if call.operation == "PutSecretValue":
                where.question_was_open |= where.puts == 0 and must_hold.marked(self.world)
                where.puts += 1
            if call.operation == MINT:
                must_hold.it_may_mint(self, where)
            for misfortune in bad:
                if misfortune.befalls(call):
                    self.mishaps += 1
                    return misfortune.fault(call)
            return None

        return weather

    def _kill(self, where: Slot) -> None:
        if where.run is not None:
            self.mishaps += 1
            where.run.kill()
            self._look_after(where)

    def _look_after(self, where: Slot) -> None:
        run = where.run
        if run is None or not run.done:
            return
        where.run = None
        if run.error is None:
            must_hold.what_a_run_says_is_true(self, where, run.result)
        elif isinstance(run.error, Killed | TokenVendingError):
            self.unsuccessful += 1
        else:
            raise run.error
