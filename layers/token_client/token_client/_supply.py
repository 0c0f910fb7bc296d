"""What one request takes from the client: its first token, the report of a refused one, and the successor."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ._bearer_flow import Report, TakeToken
from ._errors import TokenClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._client import TokenClient
    from ._token import Token

logger = logging.getLogger("token_client")


class Supply:
    """Serves the steps of one request's flow, all but the sending.

    Args:
        client: where tokens come from.
        wait_seconds: how long the request may wait for tokens, the first and the next one together.
        clock: seconds since the epoch.
    """

    def __init__(self, client: TokenClient, wait_seconds: float, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._give_up_at = clock() + wait_seconds

    def serve(self, step: TakeToken | Report) -> Token | None:
        """The token that the step wants, or None after a report.

        Raises:
            TokenClientError: there was no token in time; or the report failed for good, and no answer stands.
        """
        if isinstance(step, TakeToken):
            return self.take()
        try:
            self._client.reject(step.version)
        except TokenClientError as error:
            if not step.answer_stands:
                raise
            logger.warning("the refused version %s could not be reported: %s", step.version, error)
        return None

    def take(self) -> Token:
        """A token, within what is left of the time to wait. Raises what :meth:`TokenClient.get` raises."""
        return self._client.get(wait_seconds=max(0.0, self._give_up_at - self._clock()))

    def in_memory(self, step: TakeToken | Report) -> Token | None:
        """The token that the step wants, if there is one without waiting for anything; else it has to be served."""
        return self._client.token_in_memory() if isinstance(step, TakeToken) else None
