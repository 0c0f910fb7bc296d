"""The adapter for the requests library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests.auth

from ._bearer_flow import Outcome, Reply, Send, bearer_flow
from ._origin import check_destination
from ._replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._supply import Supply
    from ._token import Token


class RequestsAuth(requests.auth.AuthBase):
    """Sends the token; on a 401 reports it and sends the request once more with the next one.

    Args:
        begin: called as a request begins; what it takes its tokens from.
    """

    def __init__(self, begin: Callable[[], Supply]) -> None:
        self._begin = begin

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Called by requests for every request it prepares.

        Raises:
            ConfigurationError: the request would carry the token over plain http.
            TokenClientError: there was no token in time.
        """
        check_destination(request.url or "")
        supply = self._begin()
        token = supply.take()
        header = f"Bearer {token.access_token()}"
        request.headers["Authorization"] = header
        replay = Replay(request.body)

        def heal(response: requests.Response, *_args: Any, **options: Any) -> requests.Response:  # noqa: ANN401
            # requests takes the header off a redirect to another host: that host's 401 says nothing about the
            # token.
            carried = response.request.headers.get("Authorization") == header
            if Reply.to(response.status_code, carried_token=carried) is not Reply.REFUSED:
                return response
            return self._heal(response, token, replay, supply, options)

        request.register_hook("response", heal)  # type: ignore[no-untyped-call]
        return request

    def _heal(
        self,
        response: requests.Response,
        token: Token,
        replay: Replay,
        supply: Supply,
        options: dict[str, Any],
    ) -> requests.Response:
        _ = response.content  # read to the end, so that the connection goes back to its pool
        response.close()
        flow = bearer_flow(repeatable=replay.possible)
        next(flow)
        flow.send(token)
        outcome: Outcome = Reply.REFUSED
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration:
                return response
            if isinstance(step, Send):
                response = self._send_again(response, step.token, replay, options)
                outcome = Reply.to(response.status_code, carried_token=True)
            else:
                outcome = supply.serve(step)

    @staticmethod
    def _send_again(
        refused: requests.Response, token: Token, replay: Replay, options: dict[str, Any]
    ) -> requests.Response:
        replay.rewind()
        request = refused.request.copy()
        request.headers["Authorization"] = f"Bearer {token.access_token()}"
        connection: Any = refused.connection  # the adapter
        response: requests.Response = connection.send(request, **options)
        response.history.append(refused)
        response.request = request
        return response
