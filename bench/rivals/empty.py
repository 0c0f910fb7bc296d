from typing import Any


def handler(event: Any, context: Any) -> dict[str, str]:
    return {}
