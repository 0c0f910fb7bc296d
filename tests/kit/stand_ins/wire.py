"""A recording fault proxy: sits between the product and its stand-ins, counts at the wire, and breaks what it
is told.

One port an upstream, one log for all of them, so that "the n-th outbound call" has a meaning. A call's
operation is the AWS operation (from X-Amz-Target), or ``METHOD /path`` for everything else.
"""

import http.client
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, override
from urllib.parse import urlsplit

from tests.kit.stand_ins.faults import Fault
from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

UPSTREAM_TIMEOUT_SECONDS = 60.0
HANG_LIMIT_SECONDS = 60.0
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"}


@dataclass(frozen=True)
class WireCall:
    upstream: str
    operation: str


@dataclass
class _Rule:
    fault: Fault
    operation: str | None
    upstream: str | None
    first: int
    times: int | None
    index: int | None
    seen: int = 0

    def matches(self, index: int, call: WireCall) -> bool:
        if self.upstream not in (None, call.upstream) or self.operation not in (None, call.operation):
            return False
        if self.index is not None:
            return index == self.index
        self.seen += 1
        return self.seen >= self.first and (self.times is None or self.seen < self.first + self.times)


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
        self._proxies = {name: Proxy(self, name, url) for name, url in upstreams.items()}
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        for proxy in self._proxies.values():
            proxy.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for proxy in self._proxies.values():
            proxy.stop()

    def url(self, upstream: str) -> str:
        return self._proxies[upstream].url

    def refuse_connections(self, upstream: str) -> None:
        """Stop listening: connects are refused until :meth:`accept_connections`."""
        self._proxies[upstream].stop()

    def accept_connections(self, upstream: str) -> None:
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

        ``index`` chooses by place in the common log (from 1) instead. The first rule that matches wins.
        """
        with self._lock:
            self._rules.append(_Rule(fault, operation, upstream, nth, times, index))

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
        with self._lock:
            return list(self._calls)

    def counts(self) -> Counter[str]:
        return Counter(call.operation for call in self.calls)

    def count(self, upstream: str) -> int:
        return sum(call.upstream == upstream for call in self.calls)

    def arrive(self, upstream: str, request: Request) -> Fault | None:
        target = request.headers.get("x-amz-target")
        operation = target.rpartition(".")[2] if target else f"{request.method} {request.path}"
        call = WireCall(upstream, operation)
        with self._lock:
            self._calls.append(call)
            self.requests.append((upstream, request))
            return next((rule.fault for rule in self._rules if rule.matches(len(self._calls), call)), None)


class Proxy(LoopbackServer):
    def __init__(self, wire: Wire, name: str, upstream_url: str) -> None:
        super().__init__()
        self.wire = wire
        self._name = name
        self._upstream = urlsplit(upstream_url).netloc

    @override
    def handle(self, request: Request) -> Response | None:
        fault = self.wire.arrive(self._name, request)
        return self.forward(request) if fault is None else fault.act(self, request)

    def hang(self, request: Request) -> None:
        self.wire.stopping.wait(HANG_LIMIT_SECONDS)
        request.connection.reset()

    def forward(self, request: Request) -> Response | None:
        """The upstream's answer; None if it gave none, and then the caller gets none either."""
        upstream = http.client.HTTPConnection(self._upstream, timeout=UPSTREAM_TIMEOUT_SECONDS)
        try:
            upstream.request(request.method, request.target, request.body, _end_to_end(request.headers))
            answered = upstream.getresponse()
            return Response(answered.status, answered.read(), _end_to_end(dict(answered.getheaders())))
        except (OSError, http.client.HTTPException):
            request.connection.reset()
            return None
        finally:
            upstream.close()


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
