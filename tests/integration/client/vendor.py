"""A vendor that accepts the fake source's current token and nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, override

from tests.kit.stand_ins.loopback import LoopbackServer, Request, Response

if TYPE_CHECKING:
    from token_client.testing import FakeTokenSource


class Vendor(LoopbackServer):
    """Echoes what it was sent; with a token that is not accepted, 401 and the token in the body, as Bubble does.

    `/redirect?to=<url>` answers 307 to there, whatever the token.
    """

    def __init__(self, source: FakeTokenSource) -> None:
        super().__init__()
        self._source = source
        self._lock = threading.Lock()
        self.refuses_everything = False
        self.seen: list[Request] = []
        self.connections: set[object] = set()
        self.tags: list[list[str]] = []

    @override
    def handle(self, request: Request) -> Response | None:
        with self._lock:
            self.seen.append(request)
            self.connections.add(request.connection._handler.connection)
            self.tags.append(request.connection._handler.headers.get_all("X-Tag") or [])
        if request.path == "/redirect":
            return Response(307, b"", {"Location": request.query["to"][0]})
        authorization = request.headers.get("authorization")
        if self.refuses_everything or not self._source.accepts(authorization):
            return Response.of_json({"message": f"Invalid or expired token: {authorization}"}, 401)
        return Response(200, request.body, {"Content-Type": "application/octet-stream"})

    @property
    def bodies(self) -> list[bytes]:
        """Of all requests, in order."""
        return [request.body for request in self.seen]

    @property
    def authorizations(self) -> list[str | None]:
        """Of all requests, in order."""
        return [request.headers.get("authorization") for request in self.seen]
