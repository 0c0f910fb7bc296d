"""Whether and how a request body can be sent a second time."""

from __future__ import annotations

import io
from typing import Any


class Replay:
    """A body, and the place it began at.

    Text and bytes are there to be sent again, and so is no body at all. A file is wound back to where it
    stood when the request was made. Anything else (a generator, a pipe) is gone once it has been sent.
    """

    def __init__(self, body: Any) -> None:  # noqa: ANN401 - whatever an HTTP library takes
        self._body = body
        self._start: int | None = None
        self.possible = body is None or isinstance(body, str | bytes | bytearray | memoryview)
        if not self.possible and hasattr(body, "seek") and hasattr(body, "tell"):
            try:
                self._start = body.tell()
                seekable = getattr(body, "seekable", None)
                self.possible = bool(seekable()) if seekable is not None else True
            except (OSError, io.UnsupportedOperation):
                self.possible = False

    def rewind(self) -> None:
        """Make the body what it was.

        Raises:
            OSError: the file cannot be wound back after all.
        """
        if self._start is not None:
            self._body.seek(self._start)
