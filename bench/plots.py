"""The measurements as pictures. Apart from the tables, since matplotlib takes a second to import."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

OURS = "#2a6f97"
THEIRS = "#b8b8b8"
FIRST = "#89c2d9"
IN_THE_README = {
    "textbook": "Powertools: Logger, Metrics, Tracer,\nevent handler, parameters",
    "boto3": "Powertools: Logger, Metrics; boto3",
    "vend": "this hand-out",
}
mpl.rcParams.update(
    {
        "svg.hashsalt": "pictures",
        "svg.fonttype": "none",  # text stays text
        "font.size": 9,
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "ytick.major.size": 0,
    }
)


def plot(results: Mapping[str, Any], folder: Path) -> None:
    """cold.svg, warm.svg, and the three bars of the README."""
    folder.mkdir(parents=True, exist_ok=True)
    cold, warm = ([*results[name].values()][::-1] for name in ("cold", "warm"))
    axes = _bars(
        cold, "cold_ms", "ms from process start to first answer (light: first invocation)", height=4.6
    )
    init = [row["init_ms"] for row in cold]
    first = [row["cold_ms"] - row["init_ms"] for row in cold]
    light = [FIRST if row["ours"] else "#dcdcdc" for row in cold]
    axes.barh([_plain(row) for row in cold], first, left=init, color=light)
    save(axes.figure, folder / "cold.svg")
    axes = _bars(warm, "warm_p50_us", "µs at the runtime's door (p50)", height=3.6)
    save(axes.figure, folder / "warm.svg")
    _plot_three(results["cold"], folder / "readme.svg")


def _plot_three(cold: Mapping[str, Any], file: Path) -> None:
    rows = [cold[name] for name in IN_THE_README][::-1]
    times = [row["cold_ms"] for row in rows]
    figure, axes = plt.subplots(figsize=(8, 1.8))
    bars = axes.barh([*IN_THE_README.values()][::-1], times, color=_colours(rows))
    axes.bar_label(bars, [f"{time:.0f} ms" for time in times], padding=4)
    axes.set_title(
        "Cold start to the first answer, beside stand-ins on one machine (not on Lambda)",
        loc="left",
        fontsize=9,
    )
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    save(figure, file)


def _bars(rows: Sequence[Mapping[str, Any]], measure: str, what: str, *, height: float) -> Any:
    _, axes = plt.subplots(figsize=(9, height))
    axes.barh(
        [_plain(row) for row in rows],
        [row.get("init_ms", row[measure]) for row in rows],
        color=_colours(rows),
    )
    for place, row in enumerate(rows):
        axes.text(row[measure], place, f" {row[measure]:.0f}", va="center")
    axes.set_xlabel(what, loc="right")
    axes.margins(x=0.08)
    return axes


def _colours(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [OURS if row["ours"] else THEIRS for row in rows]


def save(figure: Any, file: Path) -> None:
    """As an SVG on white, which can be read on a dark page too. The same figures give the same bytes."""
    figure.tight_layout()
    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # matplotlib writes each point on a line of its own, and ends lines with a blank.
    text = re.sub(r'(?<= d=")[^"]*', lambda found: " ".join(found[0].split()), file.read_text())
    file.write_text("".join(f"{line.rstrip()}\n" for line in text.splitlines()))


def _plain(row: Mapping[str, Any]) -> str:
    return str(row["label"]).replace("**", "").replace("`", "")
