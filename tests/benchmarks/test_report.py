import json

from tests.benchmarks import report


def test_the_page_shows_what_was_measured() -> None:
    results = json.loads((report.FOLDER / "results.json").read_text(encoding="utf-8"))
    assert report.tables(results) in report.PAGE.read_text(encoding="utf-8")


def test_both_plots_are_there() -> None:
    text = report.PAGE.read_text(encoding="utf-8")
    for name in ("cold.svg", "warm.svg"):
        assert f"(performance/{name})" in text
        assert "<svg" in (report.FOLDER / name).read_text(encoding="utf-8")
