"""The measurements as tables, plots and JSON: everything in docs/evidence/performance.md between its markers."""

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "performance.md"
FOLDER = ROOT / "docs" / "evidence" / "performance"
COMMAND = "make bench"
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


@dataclass(frozen=True)
class Ratio:
    """One ambition: `part` over `whole` in the same run, at most `most`."""

    what: str
    measure: str
    part: str
    whole: str
    most: float


RATIOS = (
    Ratio("hand-out, cold, to the textbook", "cold_ms", "vend-http", "textbook", 0.42),
    Ratio("hand-out, cold, to Logger + Metrics + boto3", "cold_ms", "vend", "boto3", 0.52),
    Ratio(
        "hand-out, cold, to the textbook, AWS over plain HTTP",
        "cold_ms",
        "vend-http-plain",
        "textbook-plain",
        0.42,
    ),
    Ratio(
        "hand-out, cold, to Logger + Metrics + boto3, AWS over plain HTTP",
        "cold_ms",
        "vend-plain",
        "boto3-plain",
        0.52,
    ),
    Ratio("the same, boto3 without bytecode", "cold_ms", "vend", "boto3-no-bytecode", 0.27),
    Ratio("hand-out, memory, to the textbook", "memory_mb", "vend-http", "textbook", 0.63),
    Ratio("hand-out from the copy, warm p50, to an empty function", "warm_p50_us", "vend", "empty", 1.5),
    Ratio(
        "the same over HTTP, to an empty function with that event",
        "warm_p50_us",
        "vend-http",
        "empty-http",
        1.5,
    ),
    Ratio("refresh with nothing due, cold, to Logger + Metrics + boto3", "cold_ms", "refresh", "boto3", 1.1),
)


def ratio_of(ratio: Ratio, results: Mapping[str, Any]) -> float:
    """What was reached."""
    table = results["warm"] if ratio.measure.startswith("warm") else results["cold"]
    return float(table[ratio.part][ratio.measure] / table[ratio.whole][ratio.measure])


def processor_ratio_of(ratio: Ratio, results: Mapping[str, Any]) -> float | None:
    """The same of the processor's time, which a busy machine stretches less; None where the clock's is not meant."""
    if ratio.measure != "cold_ms":
        return None
    table = results["cold"]
    return float(table[ratio.part]["processor_ms"] / table[ratio.whole]["processor_ms"])


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
    taken = results["taken"]
    lines = [
        (
            f"Taken by `{COMMAND}` on {taken['when'][:10]}: {taken['machine']}; commit {taken['commit']}; medians of "
            f"{taken['rounds']} cold starts and {taken['invocations']} warm invocations of each, all in turn; load "
            f"average {taken['load_before']:.1f} before and {taken['load_after']:.1f} after."
        ),
        "",
        "| ratio | ambition | reached | of CPU time | |",
        "|---|---|---|---|---|",
    ]
    for ratio in RATIOS:
        reached = ratio_of(ratio, results)
        processor = processor_ratio_of(ratio, results)
        beside = "" if processor is None else f"{processor:.2f}"
        verdict = "yes" if max(reached, processor or 0) <= ratio.most else "**no**"
        lines.append(f"| {ratio.what} | ≤ {ratio.most:.2f} | {reached:.2f} | {beside} | {verdict} |")
    lines += ["", "![Cold starts](performance/cold.svg)", "", *_cold_table(results)]
    lines += ["", "![Warm invocations](performance/warm.svg)", "", *_warm_table(results)]
    lines += ["", *_size_table(results)]
    return "\n".join(lines)


def _cold_table(results: Mapping[str, Any]) -> list[str]:
    base = results["cold"]["empty"]["cold_ms"]
    lines = [
        "| cold start | ms | quartiles | of it init | first answer | to empty | CPU ms | memory MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["cold"].values():
        cold, init = row["cold_ms"], row["init_ms"]
        lines.append(
            f"| {row['label']} | {cold:.0f} | {row['cold_q1_ms']:.0f}-{row['cold_q3_ms']:.0f} | {init:.0f} | "
            f"{cold - init:.0f} | {cold / base:.1f} | {row['processor_ms']:.0f} | {row['memory_mb']:.0f} |"
        )
    return lines


def _warm_table(results: Mapping[str, Any]) -> list[str]:
    base = results["warm"]["empty"]["warm_p50_us"]
    lines = ["| warm invocation | p50 µs | p99 µs | to empty |", "|---|---|---|---|"]
    for row in results["warm"].values():
        p50 = row["warm_p50_us"]
        lines.append(f"| {row['label']} | {p50:.0f} | {row['warm_p99_us']:.0f} | {p50 / base:.2f} |")
    return lines


def _size_table(results: Mapping[str, Any]) -> list[str]:
    lines = ["| deployed | zipped MB | unzipped MB |", "|---|---|---|"]
    for name, row in results["sizes"].items():
        lines.append(f"| {name} | {row['zipped_mb']:.2f} | {row['unzipped_mb']:.2f} |")
    return lines


def now() -> str:
    """For the record."""
    return datetime.now(UTC).isoformat(timespec="seconds")
