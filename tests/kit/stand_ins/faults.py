"""What the fault proxy can do to a call."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.kit.stand_ins.loopback import Request, Response

if TYPE_CHECKING:
    from tests.kit.stand_ins.wire import Proxy

HOLD_LIMIT_SECONDS = 60.0


@dataclass(frozen=True)
class Fault:
    """What happens to a call: ``act`` answers it, or returns None once it has dealt with the connection."""

    name: str
    act: Callable[["Proxy", Request], Response | None] = field(repr=False)


class Hold:
    """A call stopped at the wire. The test waits for it, does its deed, then forwards or drops it."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._decided = threading.Event()
        self._done = threading.Event()
        self._forwarded = False

    def wait(self, timeout_seconds: float = 60.0) -> bool:
        """Wait until a call stands here; False if none came in time."""
        return self._reached.wait(timeout_seconds)

    def forward(self) -> None:
        """Let the call take effect (or its answer go back); returns when that is done."""
        self._forwarded = True
        self.drop()

    def drop(self) -> None:
        """Reset the connection; the call takes no effect unless it already has."""
        self._decided.set()
        if self._reached.is_set():
            self._done.wait(HOLD_LIMIT_SECONDS)

    @contextmanager
    def standing(self) -> Iterator[bool]:
        """For the proxy: announces the call, waits, and says whether it is forwarded."""
        self._reached.set()
        self._decided.wait(HOLD_LIMIT_SECONDS)
        try:
            yield self._forwarded
        finally:
            self._done.set()


def delay(seconds: float) -> Fault:
    def act(proxy: "Proxy", request: Request) -> Response | None:
        proxy.wire.stopping.wait(seconds)
        return proxy.forward(request)

    return Fault(f"delay {seconds} s", act)


def hang() -> Fault:
    """Never answer and never forward, until the client gives up or the proxy stops."""
    return Fault("hang", lambda proxy, request: proxy.hang(request))


def hang_after() -> Fault:
    return _after("hang after it took effect", lambda proxy, request, _: proxy.hang(request))


def drip(seconds: float) -> Fault:
    """Forward, then give the answer byte by byte, this long in all."""
    return _after(
        "drip",
        lambda proxy, request, response: request.connection.drip(response, seconds, proxy.wire.stopping),
    )


def reset_before() -> Fault:
    return Fault("reset before", lambda _, request: request.connection.reset())


def reset_after() -> Fault:
    return _after("reset after it took effect", lambda _, request, __: request.connection.reset())


def answer(status: int, body: bytes = b"") -> Fault:
    return Fault(f"answer {status}", lambda *_: Response(status, body))


def aws_error(code: str, status: int = 400, message: str = "injected", *, took_effect: bool = False) -> Fault:
    """Answer with an error of the JSON 1.1 protocol (ThrottlingException is 400, InternalServiceError 500)."""
    body = json.dumps({"__type": code, "Message": message, "message": message}).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "x-amzn-ErrorType": code,
        "x-amzn-RequestId": str(uuid.uuid4()),
    }
    response = Response(status, body, headers)
    if took_effect:
        return _after(f"{code} after it took effect", lambda *_: response)
    return Fault(code, lambda *_: response)


def hold_before() -> tuple[Fault, Hold]:
    hold = Hold()

    def act(proxy: "Proxy", request: Request) -> Response | None:
        with hold.standing() as forwarded:
            if forwarded:
                return proxy.forward(request)
            request.connection.reset()
        return None

    return Fault("hold before", act), hold


def hold_after() -> tuple[Fault, Hold]:
    hold = Hold()

    def act(proxy: "Proxy", request: Request) -> Response | None:
        response = proxy.forward(request)
        with hold.standing() as forwarded:
            if forwarded:
                return response
            request.connection.reset()
        return None

    return Fault("hold after", act), hold


def _after(name: str, act: Callable[["Proxy", Request, Response], Response | None]) -> Fault:
    """A fault of a call that has taken effect and was answered."""

    def forward_and_act(proxy: "Proxy", request: Request) -> Response | None:
        response = proxy.forward(request)
        return None if response is None else act(proxy, request, response)

    return Fault(name, forward_and_act)
