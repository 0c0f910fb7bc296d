"""What tests found out, for docs/evidence/reliability.md: scripts/reliability.py collects it from pytest's own report.

A cell is made by one of the checks below, and by nothing else: it holds what was asserted of a value that the
test has observed. Where the value may differ from run to run, it holds the bounds that were asserted.
test_proof_is_current.py refuses a check of a literal.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

Record = Callable[[str, object], None]
"""pytest's `record_property`: a name and a value that end up in the JUnit report."""


@dataclass(frozen=True)
class Observed:
    """A cell. Made by :func:`seen` and :func:`bounded`."""

    value: object

    def then(self, later: Self) -> "Observed":
        """One observation, and the one after it."""
        return Observed(f"{self.value}; then {later.value}")


def seen(actual: object, *expected: object) -> Observed:
    """`actual`, which is one of those."""
    assert actual in expected, f"{actual!r}, where one of {expected!r} was expected"
    return Observed(actual)


def bounded(actual: int, least: int, most: int) -> Observed:
    """The bounds, which `actual` keeps, for what differs from run to run."""
    if least == most:
        return seen(actual, most)
    assert least <= actual <= most, f"{actual}, where {least} to {most} were expected"
    return Observed(f"{least} to {most}" if least else f"at most {most}")


def note(record: Record, table: str, case: Mapping[str, object], **cells: object) -> None:
    """One row of a table: which case it is, and what was seen."""
    unseen = [name for name, cell in cells.items() if not isinstance(cell, Observed)]
    if unseen:
        raise TypeError(f"nobody has observed the cells {', '.join(unseen)} of {table}: {dict(case)}")
    row = {**case, **{name: cell.value for name, cell in cells.items() if isinstance(cell, Observed)}}
    record(f"reliability:{table}", json.dumps(row))
