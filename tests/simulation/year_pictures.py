"""The picture of year.py: each year as a line of marks."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import pyplot as plt

from bench.plots import OURS, save
from tests.kit.personr.rules import Origin

if TYPE_CHECKING:
    from tests.simulation.year import Year

FOREIGN, PAGE, DEAD = "#e08214", "#c1121f", "#f4c7c3"


def draw_years(years: Sequence["Year"], file: Path) -> None:
    """Mints, foreign mints, pages and whole days without a valid token, year by year."""
    figure, axes = plt.subplots(figsize=(10, 0.62 * len(years) + 1.2))
    for place, year in enumerate(years):
        row = -place
        mints = year.world.personr.history
        _strokes(axes, _days(year, (m.at for m in mints if m.origin is not Origin.FOREIGN)), row, OURS)
        _strokes(axes, _days(year, (m.at for m in mints if m.origin is Origin.FOREIGN)), row - 0.36, FOREIGN)
        axes.plot(_days(year, (at for at, _ in year.pages)), [row + 0.36] * len(year.pages), "v", color=PAGE)
        for began, ended in year.dead_spans:
            if ended - began >= timedelta(days=1):
                first, last = _days(year, (began, ended))
                axes.hlines(row, first, last, colors=DEAD, linewidth=16)
    axes.set_yticks([-place for place in range(len(years))], [year.scenario.name for year in years])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, max(year.days for year in years))
    axes.set_ylim(0.6 - len(years), 0.6)
    axes.set_xlabel("day of the year")
    for at, color, text in (
        (0.0, OURS, "| mint"),
        (0.12, FOREIGN, "| foreign mint"),
        (0.3, PAGE, "▼ page"),
        (0.42, "#b5524a", "■ a day or more without a valid token"),
    ):
        axes.text(at, 1.02, text, color=color, transform=axes.transAxes, fontweight="bold")
    save(figure, file)


def _strokes(axes: Any, days: list[float], at: float, color: str) -> None:
    """All as one path, so that the file stays small."""
    points = [point for day in days for point in ((day, at - 0.16), (day, at + 0.16), (float("nan"), at))]
    if points:
        axes.plot(*zip(*points, strict=True), color=color, linewidth=1.6)


def _days(year: "Year", moments: Iterable[datetime]) -> list[float]:
    return [(moment - year.start).total_seconds() / 86_400 for moment in moments]
