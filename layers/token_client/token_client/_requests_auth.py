"""The adapter for the requests library."""

from typing import Any

import requests.auth

from ._attempt import Attempt, Replay, Tokens


class RequestsAuth(requests.auth.AuthBase):
    """Sends the token; on a 401 reports it and sends the request once more with the next one."""

    def __init__(self, tokens: Tokens, wait_seconds: float) -> None:
        self._tokens = tokens
        self._wait_seconds = wait_seconds

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Called by requests for every request it prepares. Raises what ``Attempt`` does."""
        replay = Replay(request.body)
        url, seconds = request.url or "", self._wait_seconds
        attempt = Attempt(self._tokens, url, wait_seconds=seconds, repeatable=replay.possible)
        run = self._tokens.time.run
        token = run(attempt.first())
        request.headers["Authorization"] = token.bearer()

        def heal(response: requests.Response, *_args: Any, **options: Any) -> requests.Response:  # noqa: ANN401
            nonlocal token
            # requests takes the header off a redirect to another host: its 401 says nothing about the token.
            carried = response.request.headers.get("Authorization") == token.bearer()
            if response.status_code == requests.codes.unauthorized and carried:
                _ = response.content  # read to the end, so that the connection goes back to its pool
                response.close()
            while (successor := run(attempt.after(response.status_code, carried=carried))) is not None:
                token = successor
                replay.rewind()
                repeated = response.request.copy()
                repeated.headers["Authorization"] = token.bearer()
                connection: Any = response.connection  # the adapter
                answer: requests.Response = connection.send(repeated, **options)
                answer.history.append(response)
                answer.request = repeated
                response = answer
            return response

        request.register_hook("response", heal)  # type: ignore[no-untyped-call]
        return request
