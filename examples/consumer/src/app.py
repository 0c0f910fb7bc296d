"""A Lambda that calls Personr: one client for the process, one request an event."""

import json
import os
from typing import Any

from token_client import TokenClient

personr = TokenClient()  # PERSONR_TOKEN_FUNCTION says where tokens come from


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answers with Personr's status, and with its body where that is not an error.

    Personr's body of a 401 holds the token, so an error's body goes nowhere.
    """
    answer = personr.http.request("POST", os.environ["PERSONR_ENDPOINT"], json=event, timeout=5.0)
    succeeded = 200 <= answer.status < 300  # noqa: PLR2004 - HTTP's own
    return {"status": answer.status, "body": json.loads(answer.data) if succeeded else None}
