"""Runs the tests of reliability and writes what they found into docs/evidence/reliability.md, between its markers.

Each test notes its row in pytest's JUnit report (tests/integration/records.py); this script only lays the rows out. A
table is written only if its tests passed.
"""

import argparse
import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts import pages
from scripts.pages import table

ROOT = pages.ROOT
PAGE = ROOT / "docs" / "evidence" / "reliability.md"
REPORT = ROOT / ".build" / "reliability.xml"
TESTS = [f"tests/integration/test_{name}.py" for name in ("crash_matrix", "races", "faults", "vendor_tls")]
TESTS.append("tests/simulation/test_callers.py")
PREFIX = "reliability:"

type Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if the page was written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, help="lay out this JUnit report in place of running the tests")
    chosen = parser.parse_args(arguments)
    report = chosen.report
    if report is None:
        report = REPORT
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--junitxml={REPORT}", *TESTS]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            print("the tests fail; the page stays as it is")
            return 1
        print(f"the tests took {time.monotonic() - began:.0f} s")
    text = page(PAGE.read_text(encoding="utf-8"), read(report))
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def read(report: Path) -> dict[str, list[Row]]:
    """The rows that the tests noted, by table."""
    # Written by pytest on this machine a moment ago.
    properties = ET.parse(report).getroot().iter("property")  # noqa: S314
    return tables((prop.get("name", ""), prop.get("value", "{}")) for prop in properties)


def tables(properties: Iterable[tuple[str, object]]) -> dict[str, list[Row]]:
    """The rows among these properties of tests, by table."""
    found: dict[str, list[Row]] = defaultdict(list)
    for name, value in properties:
        if name.startswith(PREFIX):
            found[name.removeprefix(PREFIX)].append(json.loads(str(value)))
    # With several workers the tests end in another order each time.
    return {name: sorted(rows, key=_in_order) for name, rows in found.items()}


def _in_order(row: Row) -> list[str]:
    return [f"{value:03}" if isinstance(value, int) else str(value).lower() for value in row.values()]


def page(text: str, tables: dict[str, list[Row]]) -> str:
    """The page with each marked part replaced. Raises ValueError if a marker is missing."""
    for name, lay_out in PARTS.items():
        text = pages.replaced(text, name, lay_out(tables))
    return text


MOMENTS = ("before, no effect", "before, takes effect all the same", "after it took effect")


def crashes(tables: dict[str, list[Row]]) -> str:
    """One table a scenario: a line a call, a column a moment."""
    parts = []
    scenarios: dict[str, list[Row]] = defaultdict(list)
    for row in tables["crash"]:
        scenarios[row["scenario"]].append(row)
    for scenario, rows in scenarios.items():
        places = sorted({(row["place"], operation_name(row["operation"])) for row in rows})
        lines = []
        for place, operation in places:
            found = {row["moment"]: row for row in rows if row["place"] == place}
            lines.append([place, operation, *(_ended(found.get(moment)) for moment in MOMENTS)])
        parts.append(f"\n**{scenario[0].upper()}{scenario[1:]}**\n\n")
        parts.append(table(["call", "operation", *(f"killed {moment}" for moment in MOMENTS)], lines))
    total = len(tables["crash"])
    most = max(row["mints"] for row in tables["crash"])
    return f"\n{total} kills; at most {most} mints, and never more than one above the minimum.\n" + "".join(
        parts
    )


def operation_name(name: str) -> str:
    """How the page names a call."""
    return "the mint" if name.startswith("POST /api") else name


def _ended(row: Row | None) -> str:
    if row is None:
        return ""
    mints = "1 mint" if row["mints"] == 1 else f"{row['mints']} mints"
    return f"token: {row['token']}; retry: {row['retry']}, {mints}"


def store_faults(tables: dict[str, list[Row]]) -> str:
    """Lasting faults, equal lines folded over the calls they begin with."""
    folded: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for row in tables["store"]:
        key = (row["fault"], row["run"], row["mints"], row["token_works"], row["next"], row["mints_in_all"])
        folded[key].append(row["first"])
    lines = [(fault, ", ".join(map(str, sorted(places))), *rest) for (fault, *rest), places in folded.items()]
    heads = "fault | from call | the run ends in | mints | stored token works | next run | mints in all"
    return "\n" + table(heads.split(" | "), sorted(lines, key=lambda line: (str(line[0]).lower(), line[1])))


def single_faults(tables: dict[str, list[Row]]) -> str:
    """What happens once."""
    store = ([f"Secrets Manager: {row['fault']}", row["run"]] for row in tables["store-once"])
    vendor = (
        [f"vendor: {row['fault']}", f"{row['run']}, requests: {row['requests']}"]
        for row in tables["vendor-once"]
    )
    return "\n" + table(["fault", "the run ends in"], [*store, *vendor])


def columns(name: str, heads: str, keys: str = "") -> Callable[[dict[str, list[Row]]], str]:
    """A table of these values of the rows; without `keys`, of all in their order."""

    def lay_out(tables: dict[str, list[Row]]) -> str:
        rows = ([row.get(key, "") for key in keys.split() or row] for row in tables[name])
        return "\n" + table(heads.split(" | "), rows)

    return lay_out


PARTS: dict[str, Callable[[dict[str, list[Row]]], str]] = {
    "crashes": crashes,
    "vend crashes": columns(
        "crash-vend",
        "scenario | call | operation | killed | the caller's next try | the one after | mints in all",
        "scenario place operation moment first second mints",
    ),
    "store faults": store_faults,
    "hangs": columns(
        "hang",
        "call | fault | the run ends in | mints | stored token works | the retry | mints in all",
        "place fault run mints token_works next mints_in_all",
    ),
    "single faults": single_faults,
    "vendor faults": columns(
        "vendor",
        "fault | the run ends in | requests | mints | stored token works | next token is suspect | next run",
        "fault run requests mints token_works may_have_minted next",
    ),
    "hand-out faults": columns(
        "hand-out",
        "fault | a caller, nothing in memory | a caller, a copy in memory | a caller that rejects the copy",
        "fault cold copy rejecting",
    ),
    "races": columns("race", "race | found | versions written", "what found versions"),
    "crowds": columns("crowd", "callers | simulations, half with reads that lag | versions | mints"),
    "sign-ins": columns(
        "sign-in", "killed at the age of, s | probe | earlier mints for callers | s without a token"
    ),
    "outages": columns("outage", "the vendor is down for, min | it answers | s more without a token"),
    "sieges": columns(
        "siege", "all day long | mints in the worst hour | mints | versions | longest time without a token, s"
    ),
}


if __name__ == "__main__":
    sys.exit(main())
