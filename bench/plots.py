"""The measurements as pictures. Apart from the tables, since matplotlib takes a second to import."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

OURS = "#2a6f97"
THEIRS = "#b8b8b8"
FIRST = "#89c2d9"


def plot(results: Mapping[str, Any], folder: Path) -> None:
    """cold.svg and warm.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "performance", "font.size": 9, "font.family": "DejaVu Sans"})
    _plot_cold(results, folder / "cold.svg")
    _plot_warm(results, folder / "warm.svg")


def _plot_cold(results: Mapping[str, Any], file: Path) -> None:
    rows = list(results["cold"].values())[::-1]
    labels = [_plain(row["label"]) for row in rows]
    init = [row["init_ms"] for row in rows]
    first = [row["cold_ms"] - row["init_ms"] for row in rows]
    colours = [OURS if row["ours"] else THEIRS for row in rows]
    figure, axes = plt.subplots(figsize=(9, 4.6))
    axes.barh(labels, init, color=colours)
    axes.barh(labels, first, left=init, color=[FIRST if row["ours"] else "#dcdcdc" for row in rows])
    for place, row in enumerate(rows):
        axes.text(row["cold_ms"], place, f" {row['cold_ms']:.0f}", va="center")
    axes.set_xlabel("ms from process start to first answer (light: first invocation)", loc="right")
    _save(figure, axes, file)


def _plot_warm(results: Mapping[str, Any], file: Path) -> None:
    rows = list(results["warm"].values())[::-1]
    labels = [_plain(row["label"]) for row in rows]
    p50 = [row["warm_p50_us"] for row in rows]
    figure, axes = plt.subplots(figsize=(9, 3.6))
    axes.barh(labels, p50, color=[OURS if row["ours"] else THEIRS for row in rows])
    for place, row in enumerate(rows):
        axes.text(row["warm_p50_us"], place, f" {row['warm_p50_us']:.0f}", va="center")
    axes.set_xlabel("µs at the runtime's door (p50)", loc="right")
    _save(figure, axes, file)


def _save(figure: Any, axes: Any, file: Path) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.08)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    # matplotlib ends lines of path data with a blank.
    file.write_text("\n".join(line.rstrip() for line in file.read_text().splitlines()) + "\n")


def _plain(label: str) -> str:
    return label.replace("**", "").replace("`", "")
