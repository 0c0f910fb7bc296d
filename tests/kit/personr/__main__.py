"""Run the stand-in alone: ``python -m tests.kit.personr --port 0``. Prints one JSON line with its addresses when
ready.
"""

import argparse
import json
import signal
import sys
import threading

from tests.kit.personr.server import DEFAULT_EMAIL, DEFAULT_PASSWORD, PersonrServer


def main() -> int:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.kit.personr", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--email", default=DEFAULT_EMAIL)
    parser.add_argument("--password", default=DEFAULT_PASSWORD)
    parser.add_argument("--lifetime-seconds", type=int, default=31_536_000, help="what a mint's answer says")
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with PersonrServer(
        arguments.port, {arguments.email: arguments.password}, lifetime_seconds=arguments.lifetime_seconds
    ) as server:
        sys.stdout.write(json.dumps({"url": server.url, "base_url": server.base_url}) + "\n")
        sys.stdout.flush()
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
