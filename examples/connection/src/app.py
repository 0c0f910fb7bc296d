"""Keeps the token in an EventBridge connection, for callers without code: Step Functions, API destinations."""

import os
from datetime import datetime
from typing import Any

import boto3

from token_client import TokenClient

events = boto3.client("events")
personr = TokenClient()


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Afterwards the connection holds the current token.

    Invoked by the stack's event TokenRefreshed; by the state machine after a 401, with ``{"refused": true}``; and by
    hand, with ``{}``, for the first time.
    """
    name = os.environ["CONNECTION_NAME"]
    token = personr.get()
    minted = event.get("detail", {}).get("expires_at")
    # A cache on the way may hold the token before. A report of it mints nothing, since there is a newer one. (An event
    # may come late: then the token is newer than the event, and must not be reported.)
    replaced = minted is not None and token.expires_at < datetime.fromisoformat(minted)
    # The connection's description names the version it holds: the 401 is about that one.
    refused = (
        event.get("refused") and events.describe_connection(Name=name).get("Description") == token.version
    )
    if replaced or refused:
        personr.reject(token.version)
        token = personr.get()
    events.update_connection(
        Name=name,
        Description=token.version,
        AuthorizationType="API_KEY",
        AuthParameters={
            "ApiKeyAuthParameters": {
                "ApiKeyName": "Authorization",
                "ApiKeyValue": f"Bearer {token.access_token()}",
            }
        },
    )
    return {"version": token.version}
