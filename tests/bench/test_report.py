import json

import pytest

from bench import report
from bench.__main__ import ROUNDS, not_for_the_page


def test_the_page_shows_what_was_measured() -> None:
    results = json.loads((report.FOLDER / "results.json").read_text(encoding="utf-8"))
    assert report.tables(results) in report.PAGE.read_text(encoding="utf-8")


def test_the_performance_page_and_the_readme_show_the_plots() -> None:
    readme = (report.PAGE.parents[2] / "README.md").read_text(encoding="utf-8")
    text = report.PAGE.read_text(encoding="utf-8") + readme.replace("docs/evidence/", "")
    for name in ("cold.svg", "warm.svg", "readme.svg"):
        assert f"(performance/{name})" in text
        assert "<svg" in (report.FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("rounds", "changed", "written"),
    [(ROUNDS, ["functions/vend/app.py"], False), (ROUNDS - 1, [], False), (ROUNDS, [], True)],
)
def test_the_page_is_written_of_a_commit_and_enough_rounds_only(
    rounds: int, changed: list[str], *, written: bool
) -> None:
    assert (not_for_the_page(rounds, changed) is None) is written


def test_an_ambition_is_reached_by_the_clock_and_by_the_processor_or_not_at_all() -> None:
    results = json.loads((report.FOLDER / "results.json").read_text(encoding="utf-8"))
    results["cold"]["refresh"]["processor_ms"] = 10 * results["cold"]["boto3"]["processor_ms"]
    (row,) = [
        line for line in report.tables(results).splitlines() if line.startswith("| refresh with nothing")
    ]
    assert row.endswith("| 10.00 | **no** |")
