"""The part of AWS Lambda's API that starts functions: Invoke, for direct callers and for asynchronous starts.

An asynchronous invoke (InvocationType Event) is acknowledged with 202, recorded, and, when the function is
wired, run in the background with Lambda's two retries (without its one- and two-minute pauses).
"""

import json
import re
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, override
from urllib.parse import unquote

from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

INVOKE_PATH = re.compile(r"/2015-03-31/functions/(?P<function>[^/]+)/invocations")
ASYNC_ATTEMPTS = 3
"""One delivery and the two retries of Lambda's default."""


class Outcome(Protocol):
    """What a wired function returns: its payload, or Lambda's error object."""

    @property
    def payload(self) -> Any: ...

    @property
    def error(self) -> dict[str, Any] | None: ...


Function = Callable[[Any, str, str | None], Outcome]
"""Called with the event, the request id (the same one for every retry of an asynchronous invoke), the qualifier."""


@dataclass(frozen=True)
class Invocation:
    """One Invoke call: the function's name (qualifier stripped), its qualifier, the type and the event."""

    function: str
    qualifier: str | None
    invocation_type: str
    event: Any
    request_id: str


class LambdaService(LoopbackServer):
    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.invocations: list[Invocation] = []
        self.failed_events: list[Invocation] = []
        self._functions: dict[str, Function] = {}
        self._refusal: Response | None = None
        self._lock = threading.Lock()
        self._background = ThreadPoolExecutor(max_workers=8)
        self._pending: list[Any] = []

    def wire(self, function: str, run: Function) -> None:
        self._functions[function] = run

    def refuse(self, code: str, status: int, message: str = "refused") -> None:
        """Answer every Invoke with an error until :meth:`allow`."""
        body = {"Type": "User", "Message": message}
        self._refusal = Response.of_json(body, status, {"x-amzn-ErrorType": code})

    def allow(self) -> None:
        self._refusal = None

    def forget(self) -> None:
        with self._lock:
            self.invocations.clear()
            self.failed_events.clear()

    def settle(self, timeout_seconds: float = 60) -> None:
        with self._lock:
            pending, self._pending = self._pending, []
        for future in pending:
            future.result(timeout_seconds)

    @override
    def on_stop(self) -> None:
        self._background.shutdown(wait=False, cancel_futures=True)

    @override
    def handle(self, request: Request) -> Response | None:
        match = INVOKE_PATH.fullmatch(request.path)
        if match is None or request.method != "POST":
            return _error("UnknownOperationException", 404, "only Invoke is served here")
        if not request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
            return _error("MissingAuthenticationTokenException", 403, "The request is not signed")
        if self._refusal is not None:
            return self._refusal
        name, _, named = unquote(match["function"]).split(":function:")[-1].partition(":")
        qualifier = request.query.get("Qualifier", [named])[0] or None
        try:
            event = json.loads(request.body) if request.body else {}
        except ValueError:
            return _error("InvalidRequestContentException", 400, "Could not parse request body into json")
        kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
        invocation = Invocation(name, qualifier, kind, event, str(uuid.uuid4()))
        with self._lock:
            self.invocations.append(invocation)
            if kind == "Event":
                if name in self._functions:
                    self._pending.append(self._background.submit(self._run_async, invocation))
                return Response(202, b"", {"x-amzn-RequestId": invocation.request_id})
        return self._run(invocation)

    def _run(self, invocation: Invocation) -> Response:
        run = self._functions.get(invocation.function)
        if run is None:
            return _error("ResourceNotFoundException", 404, f"Function not found: {invocation.function}")
        outcome = run(invocation.event, invocation.request_id, invocation.qualifier)
        headers = {"x-amzn-RequestId": invocation.request_id, "X-Amz-Executed-Version": "1"}
        if outcome.error is not None:
            return Response.of_json(outcome.error, 200, {**headers, "X-Amz-Function-Error": "Unhandled"})
        return Response.of_json(outcome.payload, 200, headers)

    def _run_async(self, invocation: Invocation) -> None:
        run = self._functions[invocation.function]
        for _ in range(ASYNC_ATTEMPTS):
            if run(invocation.event, invocation.request_id, invocation.qualifier).error is None:
                return
        self.failed_events.append(invocation)


def _error(code: str, status: int, message: str) -> Response:
    return Response.of_json({"Type": "User", "Message": message}, status, {"x-amzn-ErrorType": code})
