"""What a test found out, for docs/reliability.md: scripts/reliability.py collects it from pytest's own report."""

import json
from collections.abc import Callable
from typing import Any

Record = Callable[[str, object], None]
"""pytest's `record_property`: a name and a value that end up in the JUnit report."""


def note(record: Record, table: str, **fields: Any) -> None:
    """One row of a table. Call it only after what the row says has been asserted."""
    record(f"reliability:{table}", json.dumps(fields))
