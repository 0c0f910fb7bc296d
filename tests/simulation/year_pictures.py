"""The pictures of year.py. The same figures give the same bytes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from scripts.template import STACK
from tests.infrastructure.cloudwatch import metric_key
from tests.simulation import Origin

if TYPE_CHECKING:
    from tests.simulation.year import Year

LIFE, MINT, FOREIGN, PAGE, REJECTION = "#1f77b4", "#2ca02c", "#9467bd", "#d62728", "#ff7f0e"
TICKS_A_DAY = 96
mpl.rcParams.update(
    {"svg.hashsalt": "year", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
)


def draw_years(years: Sequence["Year"], file: Path) -> None:
    """Days left over each year, with every mint below the line and every page above it."""
    figure, rows = plt.subplots(len(years), 1, figsize=(10, 1.9 * len(years)), sharex=True)
    for axes, year in zip(rows, years, strict=True):
        _draw_life(axes, year)
        ours = [_day(year, m.at) for m in year.world.personr.history if m.origin is not Origin.FOREIGN]
        foreign = [_day(year, m.at) for m in year.world.personr.history if m.origin is Origin.FOREIGN]
        axes.plot(ours, [-15] * len(ours), "|", color=MINT, markersize=7, label="mint")
        axes.plot(foreign, [-48] * len(foreign), "|", color=FOREIGN, markersize=7, label="foreign mint")
        paged = [_day(year, moment) for moment, _ in year.pages]
        axes.plot(paged, [400] * len(paged), "v", color=PAGE, label="page")
        axes.set_title(f"{year.scenario.name}: {year.scenario.tells}", loc="left", fontsize=9)
    rows[0].legend(loc="lower right", ncols=4, frameon=False, fontsize=8)
    rows[-1].set_xlabel("day of the year")
    _save(figure, file)


def draw_dashboard(year: "Year", file: Path) -> None:
    """The template's dashboard over that year, widget by widget as far as the simulation has the data."""
    figure = plt.figure(figsize=(12, 7.5))
    grid = figure.add_gridspec(3, 4, height_ratios=(3, 0.8, 3), hspace=0.5, wspace=0.45)
    _draw_number(figure.add_subplot(grid[0, 0]), year)
    _draw_timeline(figure.add_subplot(grid[0, 1:]), year)
    _draw_alarms(figure.add_subplot(grid[1, :]), year)
    _draw_counts(figure.add_subplot(grid[2, :2]), year, "TokenVended", "Hand-outs a day", MINT)
    _draw_counts(figure.add_subplot(grid[2, 2:]), year, "TokenRejected", "Rejections a day", REJECTION)
    _save(figure, file)


def _draw_life(axes: Any, year: "Year") -> None:
    days, left = zip(*year.ages[::TICKS_A_DAY], strict=True)
    axes.plot(days, left, color=LIFE, linewidth=1.4, label="days left")
    axes.axhline(14, color=PAGE, linewidth=0.6, linestyle=":")
    axes.set_ylim(-70, 430)
    axes.set_xlim(0, year.days)
    axes.set_ylabel("days left")


def _draw_number(axes: Any, year: "Year") -> None:
    axes.axis("off")
    axes.set_title("Remaining life of the token", loc="left")
    axes.text(0.5, 0.5, f"{year.ages[-1][1]:.0f}", fontsize=44, ha="center", va="center", color=LIFE)
    axes.text(0.5, 0.18, "days", ha="center")


def _draw_timeline(axes: Any, year: "Year") -> None:
    _draw_life(axes, year)
    axes.set_title("Life, mints and rejections", loc="left")
    axes.axhline(30, color="#7f7f7f", linewidth=0.6, linestyle=":")
    events = axes.twinx()
    shown = (("TokenRefreshed", MINT, "mints", 1.2), ("TokenRejected", REJECTION, "rejections", 0.0))
    for name, color, label, beside in shown:
        counted = _a_day(year, name)
        events.vlines(
            [day + beside for day in counted],
            0,
            list(counted.values()),
            color=color,
            linewidth=2,
            label=label,
        )
    events.set_ylim(0, 6)
    events.set_ylabel("events a day")
    events.legend(loc="upper right", ncols=2, frameon=False)


def _draw_alarms(axes: Any, year: "Year") -> None:
    axes.axis("off")
    axes.set_title("Alarms", loc="left")
    alarms = list(year.alarms.metric_alarms.values())
    columns = 7
    for place, alarm in enumerate(alarms):
        x, y = place % columns, -(place // columns)
        color = {"OK": MINT, "ALARM": PAGE}.get(alarm.state.value, "#c7c7c7")
        axes.add_patch(Rectangle((x, y), 0.94, 0.8, color=color, alpha=0.25))
        axes.text(x + 0.04, y + 0.3, alarm.name.removeprefix(f"{STACK}-"), fontsize=7.5)
    axes.set_xlim(0, columns)
    axes.set_ylim(-(len(alarms) // columns) - 0.1, 1)


def _draw_counts(axes: Any, year: "Year", metric: str, title: str, color: str) -> None:
    counted = _a_day(year, metric)
    axes.bar(list(counted), list(counted.values()), width=1.0, color=color)
    axes.set_xlim(0, year.days)
    axes.set_title(title, loc="left")
    axes.set_xlabel("day of the year")


def _a_day(year: "Year", metric: str) -> Counter[int]:
    key = metric_key("TokenVending", metric, {"stack": STACK})
    counted: Counter[int] = Counter()
    for moment, value in year.alarms.metrics.history(key):
        counted[int(_day(year, moment))] += int(value)
    return counted


def _day(year: "Year", moment: Any) -> float:
    return float((moment - year.start).total_seconds() / 86_400)


def _save(figure: Any, file: Path) -> None:
    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
