"""The Lambda Runtime API for one execution environment, in this process.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import queue
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any, override

from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

PREFIX = "/2018-06-01/runtime"
TRACE_ID = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0"
ANSWER_PATH = re.compile(rf"{PREFIX}/invocation/(?P<request_id>[^/]+)/(?P<kind>response|error)")


@dataclass
class Invocation:
    """One event on its way through the environment; ``done`` is set when its answer came or never will."""

    event: Any
    timeout_seconds: float
    function_arn: str
    """With the qualifier that was invoked."""
    request_id: str
    payload: Any = None
    error: dict[str, Any] | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def end(self, error: dict[str, Any]) -> None:
        """End it with an error of the platform, unless it has ended."""
        if not self.done.is_set():
            self.error = error
            self.done.set()


class RuntimeApi(LoopbackServer):
    """Hands events to the runtime client one at a time and takes its answers."""

    def __init__(self) -> None:
        super().__init__()
        self.init_error: dict[str, Any] | None = None
        self.ready = threading.Event()
        """Set when the function is initialised (the first 'next') or has reported that it cannot be."""
        self._queue: queue.Queue[Invocation] = queue.Queue()
        self._running: dict[str, Invocation] = {}
        self._stopping = threading.Event()
        self.hold_answers = threading.Event()
        """While set, answers are read but not taken: the place to kill after the last outbound call."""
        self.answer_held = threading.Event()

    def submit(self, invocation: Invocation) -> None:
        self._queue.put(invocation)

    @override
    def on_stop(self) -> None:
        self._stopping.set()
        self.hold_answers.clear()

    @override
    def handle(self, request: Request) -> Response | None:
        if request.method == "GET" and request.path == f"{PREFIX}/invocation/next":
            return self._next(request)
        if request.method == "POST" and request.path == f"{PREFIX}/init/error":
            self.init_error = request.json()
            self.ready.set()
            return Response.of_json({"status": "OK"}, 202)
        match = ANSWER_PATH.fullmatch(request.path)
        if request.method == "POST" and match is not None:
            return self._answer(request, match["request_id"], match["kind"])
        return Response.of_json({"errorMessage": "no such path", "errorType": "NotFound"}, 404)

    def _next(self, request: Request) -> Response | None:
        self.ready.set()
        while not self._stopping.is_set():
            try:
                invocation = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            self._running[invocation.request_id] = invocation
            deadline_ms = int((time.time() + invocation.timeout_seconds) * 1000)
            headers = {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": TRACE_ID,
            }
            return Response(200, json.dumps(invocation.event).encode(), headers)
        request.connection.close()
        return None

    def _answer(self, request: Request, request_id: str, kind: str) -> Response | None:
        if self.hold_answers.is_set():
            self.answer_held.set()
            while self.hold_answers.is_set():
                self._stopping.wait(0.02)
            request.connection.close()
            return None
        invocation = self._running.pop(request_id, None)
        if invocation is None:
            return Response.of_json({"errorMessage": "unknown request", "errorType": "InvalidRequestID"}, 400)
        body = json.loads(request.body) if request.body else None
        if kind == "response":
            invocation.payload = body
        else:
            invocation.error = body
        invocation.done.set()
        return Response.of_json({"status": "OK"}, 202)
