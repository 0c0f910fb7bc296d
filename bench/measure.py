"""The measurements: cold starts taken in turn, warm invocations in turn, memory, sizes."""

import json
import statistics
import sys
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from bench.door import Door
from bench.variants import Variant, Variants
from tests.kit.runtime.artefacts import runtime_client_folder

ARN = "arn:aws:lambda:eu-west-1:111122223333:function:measured:live"


class Start(NamedTuple):
    """One cold start, in seconds and bytes."""

    init: float
    first_answer: float
    processor: float
    memory: int


def summary(starts: Sequence[Start]) -> dict[str, float]:
    """Medians: milliseconds and megabytes."""
    init, first_answer, processor, memory = map(statistics.median, zip(*starts, strict=True))
    quartiles = statistics.quantiles([start.first_answer for start in starts], n=4)
    return {
        "init_ms": 1e3 * init,
        "cold_ms": 1e3 * first_answer,
        "cold_q1_ms": 1e3 * quartiles[0],
        "cold_q3_ms": 1e3 * quartiles[2],
        "processor_ms": 1e3 * processor,
        "memory_mb": memory / 2**20,
    }


def open_door(variants: Variants, variant: Variant) -> Door:
    """A new process of it."""
    paths = (*variant.import_paths, runtime_client_folder())
    return Door(variant.task_root, paths, variants.environment_of(variant), arn=ARN)


def cold(variants: Variants, rounds: int) -> dict[str, list[Start]]:
    """`rounds` fresh processes of each, one after the other in turn, so that a busy moment hits all alike."""
    measured: dict[str, list[Start]] = {variant.name: [] for variant in variants.all}
    for turn in range(rounds + 1):
        say(f"cold starts: round {turn} of {rounds}")
        for variant in variants.all:
            with open_door(variants, variant) as door:
                init = door.wait_ready()
                payload, seconds = door.invoke(variant.event)
                if variant.name != "empty" and (payload.get("statusCode", 200) != 200 or not payload):
                    raise RuntimeError(f"{variant.name} answered {json.dumps(payload)[:200]}")
                if turn:  # The first round warms the page cache.
                    start = Start(init, init + seconds, door.processor_seconds, door.peak_memory_bytes)
                    measured[variant.name].append(start)
    return measured


TURN = 10
"""Invocations of one variant in a row: a few milliseconds, so that a busy moment of the machine hits all of them."""


def warm(variants: Variants, invocations: int) -> dict[str, list[float]]:
    """Seconds of each warm invocation, taken in turns of `TURN`."""
    times: dict[str, list[float]] = {variant.name: [] for variant in variants.warm}
    with ExitStack() as closing:
        doors = {each.name: closing.enter_context(open_door(variants, each)) for each in variants.warm}
        for turn in range(-50, invocations, TURN):
            say(f"warm invocations: {turn} of {invocations}")
            for variant in variants.warm:
                taken = [doors[variant.name].invoke(variant.event)[1] for _ in range(TURN)]
                if turn >= 0:
                    times[variant.name] += taken
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


def say(line: str) -> None:
    """Progress on a terminal: one line that is written over; nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()
