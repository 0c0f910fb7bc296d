"""A recording fault proxy: sits between the product and its stand-ins, counts at the wire, and breaks what it
is told.

One port an upstream, one log for all of them, so that "the n-th outbound call" has a meaning. A call's
operation is the AWS operation (from X-Amz-Target), or ``METHOD /path`` for everything else.
"""

import contextlib
import http.client
import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from types import TracebackType
from typing import Self, override
from urllib.parse import urlsplit

from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

HOLD_LIMIT_SECONDS = 60.0
UPSTREAM_TIMEOUT_SECONDS = 60.0
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "proxy-connection",
    "te",
    "upgrade",
}


@dataclass(frozen=True)
class WireCall:
    """One outbound call: its place in the common log (from 1), where it went and how it was answered (None:
    not).
    """

    index: int
    upstream: str
    operation: str
    status: int | None = None
    fault: str | None = None


class Verdict(Enum):
    """What becomes of a held call."""

    FORWARD = auto()
    DROP = auto()


class Hold:
    """A call stopped at the wire. The test waits for it, does its deed, then forwards or drops it."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._decided = threading.Event()
        self._done = threading.Event()
        self._verdict = Verdict.DROP

    def wait(self, timeout_seconds: float = 60.0) -> bool:
        """Wait until a call stands here; False if none came in time."""
        return self._reached.wait(timeout_seconds)

    def forward(self) -> None:
        """Let the call take effect (or its answer go back); returns when that is done."""
        self._decide(Verdict.FORWARD)

    def drop(self) -> None:
        """Reset the connection; the call takes no effect unless it already has."""
        self._decide(Verdict.DROP)

    def _decide(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._decided.set()
        if self._reached.is_set():
            self._done.wait(HOLD_LIMIT_SECONDS)

    def stand(self) -> Verdict:
        """Called by the proxy: announce the call and wait for the verdict."""
        self._reached.set()
        self._decided.wait(HOLD_LIMIT_SECONDS)
        return self._verdict

    def finished(self) -> None:
        """Called by the proxy: the verdict was carried out."""
        self._done.set()


@dataclass(frozen=True)
class Fault:
    """What happens to a call. Built by the functions below; the fields combine in this order.

    ``delay_seconds`` → ``hold_before`` → ``answer`` or ``reset_before`` or forward → ``hold_after`` →
    ``reset_after`` or ``replacement`` (forwarded, but the caller gets this answer instead).
    """

    name: str
    delay_seconds: float = 0.0
    hold_before: Hold | None = None
    reset_before: bool = False
    answer: Response | None = None
    hold_after: Hold | None = None
    reset_after: bool = False
    replacement: Response | None = None
    hang: bool = False
    drip_seconds: float | None = None


def delay(seconds: float) -> Fault:
    """Forward late."""
    return Fault(f"delay {seconds} s", delay_seconds=seconds)


def hang() -> Fault:
    """Never answer and never forward, until the client gives up or the proxy stops."""
    return Fault("hang", hang=True)


def hang_after() -> Fault:
    """Let the call take effect and never answer."""
    return Fault("hang after it took effect", hang=True, reset_after=True)


def drip(seconds: float) -> Fault:
    """Forward, then give the answer byte by byte, this long in all."""
    return Fault("drip", drip_seconds=seconds)


def reset_before() -> Fault:
    """Reset the connection before the call takes effect."""
    return Fault("reset before", reset_before=True)


def reset_after() -> Fault:
    """Let the call take effect, then reset the connection: a lost answer."""
    return Fault("reset after it took effect", reset_after=True)


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Fault:
    """Answer without forwarding."""
    return Fault(f"answer {status}", answer=Response(status, body, headers or {}))


def aws_error(code: str, status: int = 400, message: str = "injected", *, took_effect: bool = False) -> Fault:
    """Answer with an error of the JSON 1.1 protocol (ThrottlingException is 400, InternalServiceError
    500).
    """
    body = json.dumps({"__type": code, "Message": message, "message": message}).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "x-amzn-ErrorType": code,
        "x-amzn-RequestId": str(uuid.uuid4()),
    }
    response = Response(status, body, headers)
    if took_effect:
        return Fault(f"{code} after it took effect", replacement=response)
    return Fault(code, answer=response)


def hold_before() -> tuple[Fault, Hold]:
    """Stop a call before it is forwarded."""
    hold = Hold()
    return Fault("hold before", hold_before=hold), hold


def hold_after() -> tuple[Fault, Hold]:
    """Stop a call's answer after it took effect."""
    hold = Hold()
    return Fault("hold after", hold_after=hold), hold


@dataclass
class _Rule:
    fault: Fault
    operation: str | None
    upstream: str | None
    first: int
    last: int | None
    index: int | None
    seen: int = field(default=0)

    def matches(self, call: WireCall) -> bool:
        if self.upstream is not None and call.upstream != self.upstream:
            return False
        if self.operation is not None and call.operation != self.operation:
            return False
        if self.index is not None:
            return call.index == self.index
        self.seen += 1
        return self.seen >= self.first and (self.last is None or self.seen <= self.last)


class Wire:
    """The proxies of all upstreams, their common log and the rules.

    >>> with Wire({"vendor": vendor.url}) as wire:  # doctest: +SKIP
    ...     wire.inject(reset_after(), operation="POST /api/1.1/wf/api-basic-auth")  # the first one only
    ...     client(wire.url("vendor"))
    """

    def __init__(self, upstreams: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._calls: list[WireCall] = []
        self.requests: list[tuple[str, Request]] = []
        """Every request of all time as it left the product, with the name of its upstream."""
        self._rules: list[_Rule] = []
        self._proxies = {name: _Proxy(self, name, url) for name, url in upstreams.items()}
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        for proxy in self._proxies.values():
            proxy.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        for proxy in self._proxies.values():
            proxy.stop()

    def url(self, upstream: str) -> str:
        """Return the address to give to the product."""
        return self._proxies[upstream].url

    def refuse_connections(self, upstream: str) -> None:
        """Stop listening: connects are refused until :meth:`accept_connections`."""
        self._proxies[upstream].stop()

    def accept_connections(self, upstream: str) -> None:
        """Listen again, on the same port."""
        self._proxies[upstream].start()

    def inject(
        self,
        fault: Fault,
        *,
        operation: str | None = None,
        upstream: str | None = None,
        nth: int = 1,
        times: int | None = 1,
        index: int | None = None,
    ) -> None:
        """Break the nth matching call from now on and the following ``times - 1`` (None: all that follow).

        ``index`` chooses by place in the common log instead. The first rule that matches wins.
        """
        last = None if times is None else nth + times - 1
        with self._lock:
            self._rules.append(_Rule(fault, operation, upstream, nth, last, index))

    def clear_faults(self) -> None:
        """Forget all rules; the log stays."""
        with self._lock:
            self._rules.clear()

    def reset_log(self) -> None:
        """Forget the log; the next call has index 1 again."""
        with self._lock:
            self._calls.clear()

    @property
    def calls(self) -> list[WireCall]:
        """The log so far."""
        with self._lock:
            return list(self._calls)

    def counts(self) -> Counter[str]:
        """Return how often each operation was called since the log was reset."""
        return Counter(call.operation for call in self.calls)

    def count(self, upstream: str) -> int:
        """Return how many calls an upstream was sent since the log was reset."""
        return sum(1 for call in self.calls if call.upstream == upstream)

    # --- used by the proxies ---

    def arrive(self, upstream: str, request: Request) -> tuple[WireCall, Fault | None]:
        """Log a call and find its fault."""
        with self._lock:
            call = WireCall(len(self._calls) + 1, upstream, operation_of(request))
            fault = next((rule.fault for rule in self._rules if rule.matches(call)), None)
            call = replace(call, fault=fault.name if fault else None)
            self._calls.append(call)
            self.requests.append((upstream, request))
            return call, fault

    def answered(self, call: WireCall, status: int) -> None:
        """Note how a call was answered."""
        with self._lock, contextlib.suppress(IndexError):
            if self._calls[call.index - 1].operation == call.operation:
                self._calls[call.index - 1] = replace(call, status=status)


def operation_of(request: Request) -> str:
    """Name a call: the AWS operation, or method and path."""
    target = request.headers.get("x-amz-target")
    return target.rpartition(".")[2] if target else f"{request.method} {request.path}"


class _Proxy(LoopbackServer):
    def __init__(self, wire: Wire, name: str, upstream_url: str) -> None:
        super().__init__()
        self._wire = wire
        self._name = name
        parts = urlsplit(upstream_url)
        if parts.hostname is None or parts.port is None:
            message = f"an upstream needs host and port: {upstream_url}"
            raise ValueError(message)
        self._host, self._upstream_port = parts.hostname, parts.port

    @override
    def handle(self, request: Request) -> Response | None:
        call, fault = self._wire.arrive(self._name, request)
        response = self._forward(request) if fault is None else self._break(request, fault)
        if response is not None:
            self._wire.answered(call, response.status)
        return response

    def _break(self, request: Request, fault: Fault) -> Response | None:  # noqa: PLR0911 - one return a way to fail
        self._wire.stopping.wait(fault.delay_seconds)
        if fault.hold_before is not None:
            return self._held(request, fault.hold_before)
        if fault.answer is not None:
            return fault.answer
        if fault.reset_before or (fault.hang and not fault.reset_after):
            return self._abandon(request, hang=fault.hang)
        response = self._forward(request)
        if fault.hold_after is not None:
            verdict = fault.hold_after.stand()
            try:
                return response if verdict is Verdict.FORWARD else self._abandon(request)
            finally:
                fault.hold_after.finished()
        if fault.reset_after:
            return self._abandon(request, hang=fault.hang)
        if fault.drip_seconds is not None and response is not None:
            return self._drip(request, response, fault.drip_seconds)
        return fault.replacement or response

    def _held(self, request: Request, hold: Hold) -> Response | None:
        verdict = hold.stand()
        try:
            return self._forward(request) if verdict is Verdict.FORWARD else self._abandon(request)
        finally:
            hold.finished()

    def _abandon(self, request: Request, *, hang: bool = False) -> Response | None:
        if hang:
            self._wire.stopping.wait(HOLD_LIMIT_SECONDS)
        request.connection.reset()
        return None

    def _forward(self, request: Request) -> Response | None:
        upstream = http.client.HTTPConnection(
            self._host, self._upstream_port, timeout=UPSTREAM_TIMEOUT_SECONDS
        )
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        try:
            upstream.request(request.method, request.target, request.body, headers)
            answered = upstream.getresponse()
            body = answered.read()
        except (OSError, http.client.HTTPException):
            # Whatever the upstream did below HTTP, the caller sees the same: no answer.
            request.connection.reset()
            return None
        finally:
            upstream.close()
        kept = {name: value for name, value in answered.getheaders() if name.lower() not in HOP_BY_HOP}
        return Response(answered.status, body, kept)

    def _drip(self, request: Request, response: Response, seconds: float) -> Response | None:
        for piece in _pieces(response):
            if self._wire.stopping.wait(seconds / max(1, len(response.body))) or not request.connection.write(
                piece
            ):
                break
        request.connection.close()
        return None


def _pieces(response: Response) -> Iterator[bytes]:
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
    yield f"HTTP/1.1 {response.status} X\r\n{headers}Content-Length: {len(response.body)}\r\n\r\n".encode()
    for start in range(len(response.body)):
        yield response.body[start : start + 1]
