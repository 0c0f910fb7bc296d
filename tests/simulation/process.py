"""One execution environment of a function, and the wire between it and the world."""

import contextlib
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.kit.personr.rules import Origin, Personr, WrongCredentialsError
from tests.simulation.clock import SimulatedClock
from tests.simulation.faults import MINT, PROBE, Call, Fault, Killed, Kind, Weather, fair
from tests.simulation.secrets_manager import client_error
from token_vending.credentials import Credentials
from token_vending.errors import (
    ConfigurationError,
    CredentialsRefused,
    MintError,
    TokenVendingError,
    VendorProtocolError,
    VendorUnavailable,
)
from token_vending.ports import Minted
from token_vending.token import Token

FUNCTION_TIMEOUT = timedelta(seconds=45)
AWS_LATENCY = timedelta(milliseconds=20)
AWS_TIMEOUT = timedelta(seconds=4)
VENDOR_LATENCY = timedelta(seconds=1)

_REFUSALS = {
    Kind.DENIED: ("AccessDeniedException", 400),
    Kind.THROTTLED: ("ThrottlingException", 400),
    Kind.QUOTA: ("LimitExceededException", 400),
}
_NOT_MINTED: dict[Kind, Callable[[Fault], TokenVendingError]] = {
    Kind.RATE_LIMITED: lambda fault: VendorUnavailable(
        "429", ambiguous=False, retry_after=int(fault.seconds) if fault.seconds else None
    ),
    Kind.SERVER_ERROR: lambda _: VendorUnavailable("500", ambiguous=True),
    Kind.WRONG_ADDRESS: lambda _: ConfigurationError("404"),
}
_DEADLY = (Kind.CRASH_BEFORE, Kind.CRASH_AFTER, Kind.CRASH_LATE)


class Process:
    """Carries every outbound call: counts it, lets time pass, applies the weather, kills at the deadline.

    `gate` is called before each call with the call; a stepped run waits there. Dead once it was killed.
    """

    def __init__(self, clock: SimulatedClock, personr: Personr) -> None:
        self._clock = clock
        self._personr = personr
        self.weather: Weather = fair
        self.gate: Callable[[Call], None] | None = None
        self.deadline: datetime | None = None
        self.calls: list[Call] = []
        self.dead = False
        self.mints_sent = 0

    def invoke(self, weather: Weather = fair, timeout: timedelta = FUNCTION_TIMEOUT) -> None:
        """Begin an invocation: its calls are counted from 0 and its time runs from now."""
        self.weather = weather
        self.deadline = self._clock() + timeout
        self.calls = []

    def time_left(self) -> float:
        """Seconds until this invocation is killed: `ports.TimeLeft`."""
        if self.deadline is None:
            return FUNCTION_TIMEOUT.total_seconds()
        return (self.deadline - self._clock()).total_seconds()

    def die(self) -> NoReturn:
        """Be killed: nothing of this process happens from here on."""
        self.dead = True
        raise Killed

    def aws(self, operation: str, perform: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
        """One call of the SDK. `perform` takes the lag, in mutations, of what it reads."""
        fault = self._depart(operation)
        kind = fault.kind if fault else None
        if kind is Kind.CRASH_BEFORE:
            self.die()
        if kind in _REFUSALS:
            self._pass(AWS_LATENCY)
            raise client_error(operation, *_REFUSALS[kind])
        if kind is Kind.UNREACHED:
            self._pass(AWS_TIMEOUT)
            raise EndpointConnectionError(endpoint_url="https://secretsmanager.invalid")
        if kind is Kind.LOST:
            self._attempt(perform)
            self._pass(AWS_TIMEOUT)
            raise ReadTimeoutError(endpoint_url="https://secretsmanager.invalid")
        if kind is Kind.REPLAYED:
            self._attempt(perform)
            self._pass(AWS_TIMEOUT)
        try:
            answer = perform(fault.mutations if fault and kind is Kind.STALE else 0)
        finally:
            if kind is Kind.CRASH_AFTER:
                self.die()
            self._pass(AWS_LATENCY)
        return answer

    @staticmethod
    def _attempt(perform: Callable[[int], dict[str, Any]]) -> None:
        """Whatever it answered, nobody hears it."""
        with contextlib.suppress(ClientError):
            perform(0)

    def mint(self, credentials: Credentials, *, timeout: float) -> Minted:
        """`ports.Issuer.mint`. Where a mint kills nothing, no failure can have killed the token in the store."""
        try:
            return self._mint(credentials, timeout)
        except MintError as error:
            error.ambiguous = error.ambiguous and self._personr.destructive
            raise

    def _mint(self, credentials: Credentials, timeout: float) -> Minted:
        fault = self._depart(MINT)
        kind = fault.kind if fault else None
        email, password = credentials.fields["email"], credentials.fields["password"]
        if kind is Kind.CRASH_BEFORE:
            self.die()
        if kind is Kind.UNREACHED:
            self._pass(VENDOR_LATENCY)
            raise VendorUnavailable("no connection", ambiguous=False)
        self.mints_sent += 1
        if fault is not None and kind in (Kind.LATE, Kind.CRASH_LATE):
            lands = self._clock() + timedelta(seconds=max(fault.seconds, timeout))
            self._clock.at(lands, lambda: self._land(email, password))
            if kind is Kind.CRASH_LATE:
                self.die()
            self._pass(timedelta(seconds=timeout))
            raise VendorUnavailable("timeout", ambiguous=True)
        if fault is not None and kind in _NOT_MINTED:
            self._pass(VENDOR_LATENCY)
            raise _NOT_MINTED[kind](fault)
        return self._minted(email, password, kind)

    def _minted(self, email: str, password: str, kind: Kind | None) -> Minted:
        try:
            token = self._personr.mint(email, password).token
        except WrongCredentialsError:
            if kind in _DEADLY:
                self.die()
            self._pass(VENDOR_LATENCY)
            raise CredentialsRefused("INVALID_LOGIN_CREDENTIALS") from None
        if kind is Kind.CRASH_AFTER:
            self.die()
        self._pass(VENDOR_LATENCY)
        if kind is Kind.LOST:
            raise VendorUnavailable("reset", ambiguous=True)
        if kind is Kind.UNREADABLE:
            raise VendorProtocolError("not JSON", ambiguous=True)
        return Minted(token, self._personr.lifetime, self._personr.user_id(email))

    def answers_to(self, token: Token, *, timeout: float) -> bool | None:
        """`ports.Issuer.answers_to`."""
        del timeout
        fault = self._depart(PROBE)
        if fault is not None and fault.kind in _DEADLY:
            self.die()
        self._pass(VENDOR_LATENCY)
        if fault is not None:
            return None
        return self._personr.use(token.access_token())

    def _land(self, email: str, password: str) -> None:
        with contextlib.suppress(WrongCredentialsError):
            self._personr.mint(email, password, Origin.LATE)

    def _depart(self, operation: str) -> Fault | None:
        call = Call(len(self.calls), operation)
        if self.gate is not None:
            self.gate(call)
        self._check_deadline()
        self.calls.append(call)
        return self.weather(call)

    def _pass(self, duration: timedelta) -> None:
        """The answer arrives, unless the function's time is over first."""
        if self.deadline is not None and self._clock() + duration >= self.deadline:
            self._clock.advance(max(timedelta(0), self.deadline - self._clock()))
            self.die()
        self._clock.advance(duration)

    def _check_deadline(self) -> None:
        if self.dead or (self.deadline is not None and self._clock() >= self.deadline):
            self.die()


class SteppedRun:
    """A run that moves from one outbound call to the next when it is told to, in a thread of its own.

    Only one thread runs at any time: whoever calls `step` waits until the run stands at its next call or has
    ended. So the interleaving of several runs is exactly the order of the steps.
    """

    def __init__(self, process: Process, work: Callable[[], Any]) -> None:
        self._process = process
        self._work = work
        # Locks that one thread takes and the other one gives back: the cheapest hand-over there is.
        self._go = threading.Lock()
        self._stands = threading.Lock()
        self._go.acquire()
        self._stands.acquire()
        self.pending: Call | None = None
        """The call it stands before; None once it has ended."""
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        process.gate = self._wait
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()
        self._stands.acquire()

    def step(self) -> None:
        """Let it make the call it stands before, and go on to the next one or to its end."""
        if not self.done:
            self._go.release()
            self._stands.acquire()

    def finish(self) -> None:
        """Let it run to its end."""
        while not self.done:
            self.step()

    def kill(self) -> None:
        """Kill it where it stands; the call it stands before is never made."""
        self._process.dead = True
        self.finish()

    def _wait(self, call: Call) -> None:
        self.pending = call
        self._stands.release()
        self._go.acquire()

    def _main(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001 - handed to whoever drives the run
            self.error = error
        self.pending = None
        self.done = True
        self._process.gate = None
        self._stands.release()
