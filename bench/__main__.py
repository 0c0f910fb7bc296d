"""Measures everything and writes the report: `make bench`.

    python -m bench [--rounds N] [--invocations N] [--only-print | --anyway]

Takes a few minutes on an idle machine; on a busy one the ratios hold better than the times. The page is written only
of a commit, and of enough rounds, unless told to be written anyway.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import crowd, load, report
from bench.aws import Aws
from bench.measure import cold, percentile, say, sizes, warm
from bench.variants import Variants
from scripts import build, pages
from tests.kit.runtime.artefacts import REFRESH, VEND

ROUNDS = 20


def main() -> int:
    """0; the numbers are for reading, the gate is a test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="cold starts of each variant")
    parser.add_argument("--invocations", type=int, default=1000, help="warm invocations of each")
    parser.add_argument("--only-print", action="store_true", help="leave docs/ as it is")
    parser.add_argument("--anyway", action="store_true", help="write docs/ whatever was measured")
    arguments = parser.parse_args()
    if not (arguments.only_print or arguments.anyway):
        reason = not_for_the_page(arguments.rounds, report.changed())
        if reason:
            parser.error(f"{reason}; or choose --only-print, or --anyway")
    results = measure_all(arguments.rounds, arguments.invocations)
    say("")
    text = report.tables(results)
    print(text)
    if not arguments.only_print:
        report.FOLDER.mkdir(parents=True, exist_ok=True)
        (report.FOLDER / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        from bench import plots  # noqa: PLC0415  a second to import

        plots.plot(results, report.FOLDER)
        pages.put(report.PAGE, "measurements", f"{text}\n")
        load.main()
        crowd.main()
    return 0


def not_for_the_page(rounds: int, changed: Sequence[str]) -> str | None:
    """Why figures taken so are not for docs/evidence/performance.md, if they are not."""
    if changed:
        return f"commit first what the figures depend on ({', '.join(changed)})"
    if rounds < ROUNDS:
        return f"the page takes at least {ROUNDS} rounds"
    return None


def measure_all(rounds: int, invocations: int) -> dict[str, Any]:
    """Everything the report shows."""
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, Aws(Path(folder)) as aws:
        variants = Variants(build.build(), aws)
        starts = cold(variants, [variant.name for variant in variants.all], rounds, say)
        rows = [
            (name, name, variants[name].event)
            for name in ("empty", "textbook", "boto3", "botocore", "urllib3", "floor")
        ]
        rows.insert(1, ("empty-http", "empty", variants["vend-http"].event))
        rows += [
            (name, "vend-http" if name == "vend-304" else name.removesuffix("-rejected"), event)
            for name, event in variants.warm_events.items()
        ]
        times = warm(variants, rows, invocations, say)
        labels = {variant.name: variant.label for variant in variants.all}
        labels |= {
            "empty-http": "an empty function, given the HTTP event",
            "vend": "**vend**, direct, from the copy",
            "vend-http": "**vend**, HTTP, from the copy",
            "vend-304": "**vend**, HTTP, 304",
            "vend-rejected": "**vend**, a version reported: asks the store",
        }
        cold_labels = {variant.name: variant.label for variant in variants.all}
        return {
            "taken": {
                "when": report.now(),
                "machine": report.machine(),
                "commit": report.commit(),
                "rounds": rounds,
                "invocations": invocations,
                "load_before": load_before,
                "load_after": os.getloadavg()[0],
            },
            "cold": {
                name: {"label": cold_labels[name], "ours": _ours(name), **measured.summary()}
                for name, measured in starts.items()
            },
            "warm": {
                name: {
                    "label": labels[name],
                    "ours": _ours(name),
                    "warm_p50_us": 1e6 * percentile(taken, 50),
                    "warm_p99_us": 1e6 * percentile(taken, 99),
                }
                for name, taken in times.items()
            },
            "sizes": {
                name: sizes(variants.build / name)
                for name in (VEND, REFRESH, "TokenVendingLayer", "TokenClientLayer")
            },
        }


def _ours(name: str) -> bool:
    return name.startswith(("vend", "refresh"))


if __name__ == "__main__":
    sys.exit(main())
