"""What the doctor found: one line each, with the command that corrects it."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import IntEnum

COULD_NOT_LOOK = 3
_WIDTH = 108


class Severity(IntEnum):
    """How bad it is; the worst one decides the exit code."""

    OK = 0
    UNKNOWN = 1
    """Could not be examined, usually because a permission is missing."""
    WARNING = 2
    CRITICAL = 3


OK, UNKNOWN, WARNING, CRITICAL = Severity
_EXIT_CODES = {Severity.OK: 0, Severity.UNKNOWN: 1, Severity.WARNING: 1, Severity.CRITICAL: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was examined. `mend` is the command that corrects it, or a page; empty if nothing is wrong."""

    check: str
    severity: Severity
    saw: str
    mend: str = ""


def exit_code(findings: Sequence[Finding]) -> int:
    """0, 1 (needs attention) or 2 (callers have errors or soon will)."""
    return _EXIT_CODES[max((finding.severity for finding in findings), default=Severity.OK)]


def as_table(findings: Sequence[Finding]) -> str:
    """For a person: aligned columns, and under a finding the command that corrects it."""
    check_width = max((len(finding.check) for finding in findings), default=0)
    lines: list[str] = []
    for finding in findings:
        head = f"{finding.severity.name:<8}  {finding.check:<{check_width}}  "
        lines += textwrap.wrap(finding.saw, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
        if finding.mend:
            lines.append(" " * len(head) + f"$ {finding.mend}")
    worst = max((finding.severity for finding in findings), default=Severity.OK)
    lines.append(f"\n{len(findings)} checks, worst: {worst.name}")
    return "\n".join(lines) + "\n"


def as_json(findings: Sequence[Finding]) -> str:
    """`{"exit_code": int, "findings": [{"check", "severity", "saw", "mend"}]}`."""
    found = [{**asdict(finding), "severity": finding.severity.name} for finding in findings]
    return json.dumps({"exit_code": exit_code(findings), "findings": found}, indent=2) + "\n"


def ago(duration: timedelta) -> str:
    """For a person: the largest unit of which there are two."""
    seconds = int(duration.total_seconds())
    for name, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"
