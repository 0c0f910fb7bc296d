"""A server that knows no protocol."""

import socket
import threading
from contextlib import closing, suppress
from typing import Self


class RawServer:
    """Answers every connection with the bytes it is told, and hangs up."""

    def __init__(self, reply: bytes = b"") -> None:
        self.reply = reply
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with closing(connection), suppress(OSError):
                connection.recv(65_536)
                connection.sendall(self.reply)
