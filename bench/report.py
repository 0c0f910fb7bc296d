"""The measurements as tables, for docs/evidence/performance.md between its markers."""

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.pages import ROOT, table

PAGE = ROOT / "docs" / "evidence" / "performance.md"
FOLDER = PAGE.with_suffix("")
PLAIN = "AWS over plain HTTP"
MEASURED = (
    "functions",
    "layers",
    "requirements",
    "scripts",
    "template.yaml",
    "bench",
    "tests/kit/personr",
    "tests/kit/runtime",
    "tests/kit/secrets_manager",
    "tests/kit/stand_ins",
)


# What, which measure, of whom, to whose, and the ambition for what comes out.
RATIOS = (
    ("hand-out, cold, to the textbook", "cold_ms", "vend-http", "textbook", 0.42),
    ("hand-out, cold, to Logger + Metrics + boto3", "cold_ms", "vend", "boto3", 0.52),
    (f"hand-out, cold, to the textbook, {PLAIN}", "cold_ms", "vend-http-plain", "textbook-plain", 0.42),
    (f"hand-out, cold, to Logger + Metrics + boto3, {PLAIN}", "cold_ms", "vend-plain", "boto3-plain", 0.52),
    ("the same, boto3 without bytecode", "cold_ms", "vend", "boto3-no-bytecode", 0.27),
    ("hand-out, memory, to the textbook", "memory_mb", "vend-http", "textbook", 0.63),
    ("hand-out from the copy, warm p50, to an empty function", "warm_p50_us", "vend", "empty", 1.5),
    (
        "the same over HTTP, to an empty function with that event",
        "warm_p50_us",
        "vend-http",
        "empty-http",
        1.5,
    ),
    ("refresh with nothing due, cold, to Logger + Metrics + boto3", "cold_ms", "refresh", "boto3", 1.1),
)


def machine() -> str:
    """The machine in a line."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = model[1] if model else platform.machine()
    system = f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {name}, {system}"


def commit() -> str:
    """The commit that was measured, with a plus if what is measured was changed after it."""
    return (_git("rev-parse", "--short", "HEAD").strip() or "unknown") + ("+" if changed() else "")


def changed() -> list[str]:
    """Files that the figures depend on and that differ from the commit."""
    return [line[3:] for line in _git("status", "--porcelain", "--", *MEASURED).splitlines()]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout


def tables(results: Mapping[str, Any]) -> str:
    """The generated part of the page."""
    taken, cold, warm = results["taken"], results["cold"], results["warm"]
    ratios = [_ratio(results, ratio) for ratio in RATIOS]
    starts = [
        (
            *(row["label"], f"{row['cold_ms']:.0f}", f"{row['cold_q1_ms']:.0f}-{row['cold_q3_ms']:.0f}"),
            *(f"{row['init_ms']:.0f}", f"{row['cold_ms'] - row['init_ms']:.0f}"),
            *(f"{row['cold_ms'] / cold['empty']['cold_ms']:.1f}", f"{row['processor_ms']:.0f}"),
            f"{row['memory_mb']:.0f}",
        )
        for row in cold.values()
    ]
    base = warm["empty"]["warm_p50_us"]
    times = [
        (row["label"], f"{p50:.0f}", f"{row['warm_p99_us']:.0f}", f"{p50 / base:.2f}")
        for row in warm.values()
        for p50 in [row["warm_p50_us"]]
    ]
    sizes = [
        (name, f"{row['zipped_mb']:.2f}", f"{row['unzipped_mb']:.2f}")
        for name, row in results["sizes"].items()
    ]
    return f"""\
Taken by `make bench` on {taken["when"][:10]}: {taken["machine"]}; commit {taken["commit"]}; medians of \
{taken["rounds"]} cold starts and {taken["invocations"]} warm invocations of each, all in turn; load average \
{taken["load_before"]:.1f} before and {taken["load_after"]:.1f} after.

{_table("ratio | ambition | reached | of CPU time | ", ratios)}
![Cold starts](performance/cold.svg)

{_table("cold start | ms | quartiles | of it init | first answer | to empty | CPU ms | memory MB", starts)}
![Warm invocations](performance/warm.svg)

{_table("warm invocation | p50 µs | p99 µs | to empty", times)}
{_table("deployed | zipped MB | unzipped MB", sizes)}"""


def _ratio(results: Mapping[str, Any], ratio: tuple[str, str, str, str, float]) -> list[str]:
    """Reached by the clock and, for cold starts, by the processor's time, which a busy machine stretches less."""
    what, measure, part, whole, most = ratio
    of = results["warm" if measure == "warm_p50_us" else "cold"]
    measures = [measure, "processor_ms"] if measure == "cold_ms" else [measure]
    reached = [of[part][name] / of[whole][name] for name in measures]
    beside = f"{reached[1]:.2f}" if reached[1:] else ""
    verdict = "yes" if max(reached) <= most else "**no**"
    return [what, f"≤ {most:.2f}", f"{reached[0]:.2f}", beside, verdict]


def _table(heads: str, rows: Iterable[Sequence[object]]) -> str:
    return table(heads.split(" | "), rows)


def today() -> str:
    """The date, for the page."""
    return f"{datetime.now(UTC):%Y-%m-%d}"
