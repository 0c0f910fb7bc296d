"""What can happen to one stack, and what must hold whatever happens.

What is under test is the product's own code; what is checked is written down here anew, from the contract,
without asking the product's decision. `walks` chooses what happens.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.kit.personr.rules import Mint, Origin
from tests.simulation.faults import AWS_KINDS, MINT, VENDOR_KINDS, Call, Fault, Killed, Weather
from tests.simulation.process import Process, SteppedRun
from tests.simulation.secrets_manager import MAX_VERSIONS
from tests.simulation.world import (
    CREDENTIALS,
    EMAIL,
    STANDBY,
    STANDBY_EMAIL,
    TOKEN,
    RefreshProcess,
    World,
)
from token_vending.due import LEASE, Verdict
from token_vending.errors import TokenVendingError, VendorUnavailable
from token_vending.handing_out import HandOutDesk
from token_vending.history import FREE_FAILURES, LONGEST_PAUSE
from token_vending.refreshing import Outcome, Report
from token_vending.requests import RefreshRequest, VendRequest
from token_vending.token import Token

MAX_AGE = timedelta(days=21)
LATEST_LANDING = timedelta(minutes=5)

DURATIONS = (
    timedelta(seconds=1),
    timedelta(seconds=9),
    timedelta(seconds=30),
    LEASE,
    timedelta(seconds=61),
    timedelta(minutes=4),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(days=8),
    MAX_AGE,
)
EVENTS = ("tick", "force", "reject", "reject old", "longer life", "again", "started by vend")
COMPLAINTS = ("none", "current", "old")
WISHES = (0, 1, 366)
"""Days of remaining life that a caller asks for."""


@dataclass(frozen=True, slots=True)
class Misfortune:
    """What befalls the `index`-th call of a run, and if it `goes_on` all calls after it.

    `number` chooses among the kinds that fit the call, `amount` how stale a read is or how late a mint lands.
    """

    index: int
    number: int
    amount: int
    goes_on: bool

    CODES = 12 * 10 * 4 * 2

    @classmethod
    def decode(cls, code: int) -> "Misfortune":
        """One of CODES misfortunes; the low ones befall the early calls, once."""
        code, index = divmod(code, 12)
        code, number = divmod(code, 10)
        goes_on, amount = divmod(code, 4)
        return cls(index, number, amount + 1, bool(goes_on))

    def befalls(self, call: Call) -> bool:
        return call.index == self.index or (self.goes_on and call.index > self.index)

    def fault(self, call: Call) -> Fault:
        kinds = VENDOR_KINDS if call.operation == MINT else AWS_KINDS
        return Fault(kinds[self.number % len(kinds)], mutations=self.amount, seconds=self.amount * 75.0)


@dataclass(frozen=True, slots=True)
class VendorDown:
    """The vendor fails in one way, as long as it is asked."""

    number: int

    def befalls(self, call: Call) -> bool:
        return call.operation == MINT

    def fault(self, call: Call) -> Fault:
        del call
        return Fault(VENDOR_KINDS[self.number % len(VENDOR_KINDS)], seconds=120.0)


type BadLuck = Sequence[Misfortune | VendorDown]


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
    """One stack under everything that can happen to it. `check` after every step, `converges` at the end."""

    def __init__(self, *, standby: bool = False, probe: bool = False) -> None:
        self.standby = standby
        self.world = World(standby=standby, probe=probe)
        self.slots = [self._cold(), self._cold()]
        self.vend = [self._cold_vend(), self._cold_vend()]
        self.delivered: list[dict[str, Any]] = []
        self.versions_seen: list[str] = ["00000000-never-existed-0000-000000000000"]
        self.began = self.world.clock()
        self.events = 0
        self.passwords = 0
        # What may cost a mint.
        self.forced: set[str] = set()
        self.complained_about: set[str] = set()
        self.credentials_set = 0
        self.mishaps = 0
        self.unsuccessful = 0
        """Runs that brought no token: only they may make others wait."""
        # What may cost a repetition of refused credentials.
        self.overlapping = 0
        self.landings_seen = 0
        self.wrong: set[tuple[str, str]] = set()

    # What happens --------------------------------------------------------------------------------------

    def deployed(self, *, right: bool) -> None:
        self._set_credentials(right=True, standby=True)
        self._set_credentials(right=right or self.standby)

    def runs(self, slot: int, event: str, bad: BadLuck, *, warm: bool) -> None:
        """A run from beginning to end, beside whatever else is under way."""
        given = self._event(event)
        where = self.slots[slot]
        if not warm or where.run is not None or where.process.wire.dead:
            where = self._cold()
            if self.slots[slot].run is None:
                self.slots[slot] = where
        if any(other.run is not None for other in self.slots):
            self.overlapping += 1
        try:
            report = self.world.run(given, process=where.process, weather=self._weather(where, given, bad))
        except (Killed, TokenVendingError):
            self.unsuccessful += 1
            return
        self._judge(where, report)

    def many_runs_fail(self, event: str, number: int) -> None:
        """The vendor is down for a while: more runs fail in a row than may without a pause.

        A person does not wait for the pause, and who forces a hundred times a day reaches the quota of
        versions (docs/evidence/reliability.md, "What is assumed").
        """
        if len(self.world.secrets.versions(TOKEN)) > MAX_VERSIONS - 4 * FREE_FAILURES:
            self.time_passes(timedelta(days=1))
            return
        for _ in range(FREE_FAILURES + 2):
            self.runs(0, event, [VendorDown(number)], warm=False)
            self.check()
            self.time_passes(timedelta(seconds=61))

    def begins(self, slot: int, event: str, bad: BadLuck) -> None:
        """A run that will move call by call."""
        where = self.slots[slot]
        if where.run is not None:
            where.run.step()
            self._look_after(where)
            return
        if where.process.wire.dead:
            where = self.slots[slot] = self._cold()
        self.overlapping += 1
        given = self._event(event)
        where.run = self.world.begin(given, process=where.process, weather=self._weather(where, given, bad))

    def moves(self, slot: int, calls: int) -> None:
        where = self.slots[slot]
        for _ in range(calls):
            if where.run is not None:
                where.run.step()
                self._look_after(where)
                self.check()

    def is_killed(self, slot: int) -> None:
        where = self.slots[slot]
        if where.run is not None:
            self.mishaps += 1
            where.run.kill()
            self._look_after(where)

    def time_passes(self, duration: timedelta) -> None:
        self.world.clock.advance(duration)
        for where in self.slots:
            deadline = where.process.wire.deadline
            if where.run is not None and deadline is not None and self.world.clock() >= deadline:
                self.mishaps += 1
                where.run.kill()
                self._look_after(where)

    def credentials_change(self, *, right: bool, standby: bool) -> None:
        self._set_credentials(right=right, standby=standby and self.standby)

    def somebody_else_mints(self) -> None:
        self.world.personr.mint_elsewhere(EMAIL)

    def credentials_roll_back(self, *, standby: bool) -> None:
        """An operator puts AWSCURRENT of the credentials back on the version before."""
        secret, email = (STANDBY, STANDBY_EMAIL) if standby and self.standby else (CREDENTIALS, EMAIL)
        labels = self.world.secrets.labels(secret)
        before = labels.get("AWSPREVIOUS")
        if before is None:
            return
        self.credentials_set += 1
        self.world.secrets.update_secret_version_stage(
            secret, "AWSCURRENT", move_to=before, remove_from=labels["AWSCURRENT"]
        )
        password = self._stored_password(secret)
        if not self.world.personr.accepts(email, password):
            self.wrong.add((email, password))

    def a_caller_asks(self, vend: int, complaint: str, wish: int, bad: BadLuck = ()) -> None:
        """A caller asks one of two processes of the vend function, which bad weather may befall."""
        wire = self.vend[vend][0]
        if wire.dead:
            self.vend[vend] = self._cold_vend()
        wire, vendor = self.vend[vend]
        wire.invoke(lambda call: next((luck.fault(call) for luck in bad if luck.befalls(call)), None))
        token = self.world.token()
        rejected = None
        if complaint == "current" and token is not None:
            rejected = token.version
        elif complaint == "old":
            rejected = self.versions_seen[-2:][0]
        if rejected is not None:
            self.complained_about.add(rejected)
        if token is not None and wish:
            self.complained_about.add(token.version)
        now = self.world.clock()
        try:
            given = vendor.hand_out(VendRequest(rejected, wish * 86_400))
        except (TokenVendingError, Killed):
            return
        assert given.token.expires_at > now
        assert given.expires_in > 0
        assert given.token.version != rejected
        copied = given.cache_hit or given.warning is not None or bool(bad)
        assert copied or (token is not None and given.token.version == token.version)

    # What must hold ------------------------------------------------------------------------------------

    def check(self) -> None:
        self.current_is_the_last_one_minted_or_it_is_marked()
        self.a_late_mint_was_reckoned_with()
        self.mints_are_bounded()
        self.wrong_credentials_are_not_sent_again()

    def current_is_the_last_one_minted_or_it_is_marked(self) -> None:
        token = self.world.token()
        if token is not None and token.version not in self.versions_seen:
            self.versions_seen.append(token.version)
        if self._marked():
            return
        email = self._account(token)
        ours = [mint for mint in self.world.personr.history if self._ours(mint, email)]
        if token is None:
            # Nobody holds a token that could have died.
            return
        assert ours, "a token in the store that nobody minted"
        assert token.access_token() == ours[-1].token, "the stored token is dead by our own mint, unmarked"

    def a_late_mint_was_reckoned_with(self) -> None:
        history = self.world.personr.history
        token = self.world.token()
        new, self.landings_seen = history[self.landings_seen :], len(history)
        if token is None or self._marked():
            return
        for mint in new:
            if (
                mint.origin is Origin.LATE
                and mint.email == self._account(token)
                and mint.at > token.issued_at
            ):
                assert token.suspect_until is not None, "killed by a late mint of ours, not suspect"
                assert mint.at <= token.suspect_until, "killed by a late mint of ours, no longer suspect"

    def mints_are_bounded(self) -> None:
        elapsed = self.world.clock() - self.began
        allowed = (
            1
            + len(self.forced)
            + len(self.complained_about)
            + self.credentials_set
            + self.mishaps
            + elapsed // MAX_AGE
        )
        sent = len(self.world.personr.sent)
        assert sent <= allowed, f"{sent} mints, {allowed} reasons"

    def wrong_credentials_are_not_sent_again(self) -> None:
        times = Counter(self.world.personr.sent)
        for credentials in self.wrong:
            bound = self.credentials_set + len(self.forced) + self.mishaps + self.overlapping
            assert times[credentials] <= bound

    # Convergence ---------------------------------------------------------------------------------------

    def ends(self) -> None:
        """Kill what still runs, and see that everything comes right by itself."""
        self.kills_all()
        self.check()
        self._converges()

    def kills_all(self) -> None:
        """No run stays behind in its thread."""
        for where in self.slots:
            if where.run is not None:
                where.run.kill()
                where.run = None

    def runs_under_way(self) -> bool:
        """Whether a run stands somewhere."""
        return any(where.run is not None for where in self.slots)

    def _converges(self) -> None:
        """Faults stop, the lease and the late mints pass: two ticks, or a caller's report, and all is well.

        After ten failures in a row the first of them waits for the pause.
        """
        world = self.world
        world.clock.advance(LATEST_LANDING + LEASE)
        accounts = ((CREDENTIALS, EMAIL), (STANDBY, STANDBY_EMAIL))
        if not all(world.personr.accepts(email, self._stored_password(secret)) for secret, email in accounts):
            self._set_credentials(right=True, standby=False)
            self._set_credentials(right=True, standby=True)
        before = len(world.personr.sent)
        try:
            world.run({"id": "last-tick-1"})
        except VendorUnavailable as error:
            self._had_to_wait(error)
            world.clock.advance(LONGEST_PAUSE)
            world.run({"id": "last-tick-1"})
        assert len(world.personr.sent) <= before + 1
        self.mishaps += 1
        second = world.run({"id": "last-tick-2"})
        assert second.outcome == "fresh", second
        assert world.lock() is None
        token = world.token()
        assert token is not None
        self.check()
        if not world.token_works():
            # Somebody else's mint, or one of ours that landed late: a caller will notice.
            world.clock.advance(timedelta(hours=1))
            self.complained_about.add(token.version)
            world.run({"id": "report", "rejected_version": token.version})
        assert world.token_works()
        assert world.run({"id": "last-tick-3"}).outcome == "fresh"

    def _had_to_wait(self, error: VendorUnavailable) -> None:
        """Nobody may have to who has not failed ten times."""
        assert "Nothing was tried" in error.detail
        assert self.unsuccessful >= FREE_FAILURES

    # Inside --------------------------------------------------------------------------------------------

    def _cold_vend(self) -> tuple[Process, HandOutDesk]:
        wire = Process(self.world.clock, self.world.personr)
        return wire, self.world.vendor(wire=wire)

    def _cold(self) -> Slot:
        process = self.world.refresh_process()
        slot = Slot(process)
        make = process.refresher.new_version

        def recorded() -> str:
            version = make()
            slot.intents.add(version)
            return version

        process.refresher.new_version = recorded
        return slot

    def _set_credentials(self, *, right: bool, standby: bool = False) -> None:
        self.passwords += 1
        password = f"{'right' if right else 'wrong'}-{self.passwords}"
        self.credentials_set += 1
        self.world.set_credentials(password, at_vendor=True, standby=standby)
        if not right:
            email = STANDBY_EMAIL if standby else EMAIL
            self.world.personr.set_password(email, f"other-{self.passwords}")
            self.wrong.add((email, password))

    def _event(self, kind: str) -> dict[str, Any]:
        token = self.world.token()
        version = token.version if token is not None else self.versions_seen[0]
        if kind == "again" and self.delivered:
            return self.delivered[-1 - self.events % min(3, len(self.delivered))]
        if kind == "started by vend" and self.world.started.events:
            event: dict[str, Any] = self.world.started.events.pop()
        else:
            self.events += 1
            event = {"id": f"event-{self.events}"}
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

    def _may_mint(self, where: Slot) -> None:
        """A run is about to mint: it must hold the lock, and there must be a reason in the world as it is."""
        lock = self.world.lock()
        assert lock is not None, "minting without the lock"
        assert lock.attempt in where.intents, "minting under another run's lock"
        token = self.world.token()
        if token is None or where.question_was_open:
            return
        event = where.event
        reasons = {
            "credentials": token.credentials_version not in self._credentials_versions(),
            "age": self.world.clock() - token.issued_at >= MAX_AGE,
            "person": "force" in event
            and "rejected_version" not in event
            and not RefreshRequest.parse(event, default_id="").made(token.run),
            "caller": event.get("rejected_version") == token.version,
        }
        assert any(reasons.values()), f"a mint without a reason, for {event}"

    def _weather(self, where: Slot, event: dict[str, Any], bad: BadLuck) -> Weather:
        where.event, where.question_was_open, where.puts = event, False, 0
        where.mints_sent = where.process.wire.mints_sent
        where.known = {mint.token for mint in self.world.personr.history}

        def weather(call: Call) -> Fault | None:
            if call.operation == "PutSecretValue" and where.puts == 0:
                where.question_was_open = self._marked()
            where.puts += call.operation == "PutSecretValue"
            if call.operation == MINT:
                self._may_mint(where)
            for misfortune in bad:
                if misfortune.befalls(call):
                    self.mishaps += 1
                    return misfortune.fault(call)
            return None

        return weather

    def _look_after(self, where: Slot) -> None:
        run = where.run
        if run is None or not run.done:
            return
        where.run = None
        if run.error is None:
            self._judge(where, run.result)
            return
        self.unsuccessful += 1
        if not isinstance(run.error, Killed | TokenVendingError):
            raise run.error

    def _judge(self, where: Slot, report: Report) -> None:
        """Whether what a run says of itself is true."""
        if report.outcome is not Outcome.REFRESHED:
            self.unsuccessful += 1
            assert where.process.wire.mints_sent == where.mints_sent, f"{report.outcome}, but it has minted"
            return
        assert report.token is not None
        stored = self.world.secrets.versions(TOKEN)[report.token.version].content
        assert json.loads(stored)["access_token"] == report.token.access_token()
        if report.reason != Verdict.UNFINISHED_INTENT:
            # Only what an earlier run left undone may be finished with the token that it had minted.
            assert report.token.access_token() not in where.known, f"{report.reason}, but nothing new"

    def _marked(self) -> bool:
        lock, token = self.world.lock(), self.world.token()
        return lock is not None and (token is None or token.run != lock.run)

    def _account(self, token: Token | None) -> str:
        return (
            STANDBY_EMAIL if token is not None and token.credentials_version.startswith("standby:") else EMAIL
        )

    @staticmethod
    def _ours(mint: Mint, email: str) -> bool:
        return mint.origin is Origin.OURS and mint.email == email

    def _credentials_versions(self) -> set[str | None]:
        standby = self.world.secrets.holder(STANDBY, "AWSCURRENT")
        return {self.world.secrets.holder(CREDENTIALS, "AWSCURRENT"), f"standby:{standby}"}

    def _stored_password(self, secret: str) -> str:
        holder = self.world.secrets.holder(secret, "AWSCURRENT")
        content = self.world.secrets.versions(secret)[holder].content if holder is not None else "{}"
        return str(json.loads(content).get("password", ""))
