"""A caller of the product: a program with the client library, an IAM user's keys and
PERSONR_TOKEN_FUNCTION in its environment, and a protected address of the vendor as its argument.

Reads one command a line, writes one JSON object a line. No answer holds the token.

    get     fetch a token
    try     call the vendor once with the token at hand, come what may
    heal    report the token at hand as rejected and wait for its successor
    use     call the vendor through TokenClient.http, which does both by itself
"""

import json
import sys
import time

import urllib3

from token_client import Token, TokenClient


def main() -> None:
    address = sys.argv[1]
    client = TokenClient(wait_seconds=60)
    plain = urllib3.PoolManager(timeout=60, retries=False)
    token: Token | None = None
    for line in sys.stdin:
        command = line.strip()
        started = time.monotonic()
        answer: dict[str, object] = {}
        try:
            if command == "heal" and token is not None:
                client.reject(token.version)
            if command == "use":
                answer["status"] = client.http.request("GET", address).status
                token = client.get()
            elif command == "try" and token is not None:
                header = {"Authorization": f"Bearer {token.access_token()}"}
                answer["status"] = plain.request("GET", address, headers=header).status
            else:
                token = client.get()
            answer["version"] = token.version
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            answer["error"] = type(error).__name__
            answer["detail"] = str(error)
        answer["seconds"] = time.monotonic() - started
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
