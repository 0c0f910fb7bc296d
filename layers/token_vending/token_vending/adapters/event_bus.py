"""What happened to the token, told on an EventBridge bus.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

SOURCE = "token-vending"


class EventBus:
    """One bus, through a client of the SDK, made when it is needed.

    `resource` is the ARN that the events are about: the token secret's.
    """

    def __init__(self, new_client: Callable[[], Any], name: str, *, resource: str) -> None:
        self._new_client = new_client
        self._name = name
        self._resource = resource

    def put(self, events: Mapping[str, Mapping[str, object]]) -> str | None:
        """Sends each event (detail type → detail) in one call. Answers what went wrong; raises nothing.

        A run has done its work when it gets here: no failure of the bus may make it look failed.
        """
        entries = [
            {
                "EventBusName": self._name,
                "Source": SOURCE,
                "DetailType": kind,
                "Resources": [self._resource],
                "Detail": json.dumps(detail),
            }
            for kind, detail in events.items()
        ]
        try:
            answer = self._new_client().put_events(Entries=entries)
            lost = [entry["ErrorCode"] for entry in answer["Entries"] if "ErrorCode" in entry]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no failure of the run
            return type(error).__name__
        return ", ".join(lost) or None
