"""Measures everything and writes the report: `make bench`.

    python -m bench [--rounds N] [--invocations N] [--only-print | --anyway]

Takes a few minutes on an idle machine; on a busy one the ratios hold better than the times. The page is written only
of a commit, and of enough rounds, unless told to be written anyway.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from bench import crowd, load, report
from bench.measure import cold, percentile, say, sizes, summary, warm
from bench.variants import Variant, prepared
from scripts import pages
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
        pages.put(report.PAGE, "measurements", text)
        for name, measured in (("load", load), ("crowd", crowd)):
            print(part := measured.page())
            pages.put(report.PAGE, name, part)
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
    with prepared() as variants:
        starts, times = cold(variants, rounds), warm(variants, invocations)
        return {
            "taken": {
                "when": report.today(),
                "machine": report.machine(),
                "commit": report.commit(),
                "rounds": rounds,
                "invocations": invocations,
                "load_before": load_before,
                "load_after": os.getloadavg()[0],
            },
            "cold": {each.name: {**_row(each), **summary(starts[each.name])} for each in variants.all},
            "warm": {
                each.name: {
                    **_row(each),
                    "warm_p50_us": 1e6 * percentile(times[each.name], 50),
                    "warm_p99_us": 1e6 * percentile(times[each.name], 99),
                }
                for each in variants.warm
            },
            "sizes": {
                name: sizes(variants.build / name)
                for name in (VEND, REFRESH, "TokenVendingLayer", "TokenClientLayer")
            },
        }


def _row(variant: Variant) -> dict[str, Any]:
    return {"label": variant.label, "ours": variant.name.startswith(("vend", "refresh"))}


if __name__ == "__main__":
    sys.exit(main())
