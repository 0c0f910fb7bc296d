"""The measurements: cold starts taken in turn, warm invocations in turn, memory, sizes."""

import json
import statistics
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from bench.door import Door
from bench.variants import Variant, Variants

ARN = "arn:aws:lambda:eu-west-1:111122223333:function:measured:live"


@dataclass
class Cold:
    """One variant's cold starts, in seconds and bytes."""

    init: list[float] = field(default_factory=list)
    first_answer: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Medians: milliseconds and megabytes."""
        quartiles = statistics.quantiles(self.first_answer, n=4) if len(self.first_answer) > 1 else [0, 0, 0]
        return {
            "init_ms": 1e3 * statistics.median(self.init),
            "cold_ms": 1e3 * statistics.median(self.first_answer),
            "cold_q1_ms": 1e3 * quartiles[0],
            "cold_q3_ms": 1e3 * quartiles[2],
            "processor_ms": 1e3 * statistics.median(self.processor),
            "memory_mb": statistics.median(self.memory) / 2**20,
            "starts": len(self.first_answer),
        }


def open_door(variants: Variants, variant: Variant) -> Door:
    """A new process of it."""
    paths = (*variant.import_paths, variants.runtime_client)
    return Door(variant.task_root, paths, variants.environment_of(variant), arn=ARN)


def cold(
    variants: Variants, names: Sequence[str], rounds: int, tell: Callable[[str], None]
) -> dict[str, Cold]:
    """`rounds` fresh processes of each, one after the other in turn, so that a busy moment hits all alike."""
    measured = {name: Cold() for name in names}
    for turn in range(rounds + 1):
        tell(f"cold starts: round {turn} of {rounds}")
        for name in names:
            variant = variants[name]
            with open_door(variants, variant) as door:
                init = door.wait_ready()
                payload, seconds = door.invoke(variant.event)
                _must_be_an_answer(name, payload)
                if turn:  # The first round warms the page cache.
                    measured[name].init.append(init)
                    measured[name].first_answer.append(init + seconds)
                    measured[name].processor.append(door.processor_seconds)
                    measured[name].memory.append(door.peak_memory_bytes)
    return measured


TURN = 10
"""Invocations of one variant in a row: a few milliseconds, so that a busy moment of the machine hits all of them."""


def warm(
    variants: Variants, events: Iterable[tuple[str, str, Any]], invocations: int, tell: Callable[[str], None]
) -> dict[str, list[float]]:
    """Seconds of each warm invocation. `events` are (row, variant, event); taken in turns of `TURN`."""
    doors: dict[str, Door] = {}
    times: dict[str, list[float]] = {}
    rows = list(events)
    try:
        for row, name, event in rows:
            doors[row] = open_door(variants, variants[name])
            doors[row].invoke(variants[name].event)
            for _ in range(50):
                doors[row].invoke(event)
            times[row] = []
        for turn in range(0, invocations, TURN):
            tell(f"warm invocations: {turn} of {invocations}")
            for row, _, event in rows:
                for _ in range(TURN):
                    _, seconds = doors[row].invoke(event)
                    times[row].append(seconds)
    finally:
        for door in doors.values():
            door.close()
    return times


def percentile(taken: Sequence[float], part: int) -> float:
    """The value below which that many hundredths lie."""
    return sorted(taken)[min(len(taken) - 1, len(taken) * part // 100)]


def sizes(folder: Path) -> dict[str, float]:
    """Megabytes of what is deployed: unzipped, and zipped as `sam deploy` uploads it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    with TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(folder))
        zipped = file.seek(0, 2)
    return {"unzipped_mb": sum(path.stat().st_size for path in files) / 2**20, "zipped_mb": zipped / 2**20}


def _must_be_an_answer(name: str, payload: Any) -> None:
    if name == "empty":
        return
    if payload.get("statusCode", 200) != 200 or not payload:
        raise RuntimeError(f"{name} answered {json.dumps(payload)[:200]}")


def say(line: str) -> None:
    """Progress on a terminal: one line that is written over; nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()
