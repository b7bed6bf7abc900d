"""Plots of the figures (SVG); needs matplotlib, from the extra ``bench``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.figures import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, THEIRS = "#2b6cb0", "#a0aec0"
_PARTS = {"driver": "#cbd5e0", "server": OURS, "postgresql": "#2f855a"}
# Keep text as text, and make the files reproducible.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9, "axes.axisbelow": True})
mpl.use("svg")


def draw(results: Mapping[str, Result], directory: Path) -> list[Path]:
    """Write a file for each plot for which there are results; returns the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, result in results.items():
        if not result.figures:
            continue
        if result.curve:
            written.append(_picture(directory / f"{name}.svg", result.title, _curve, result))
        elif name == "lifecycles":
            written.append(_picture(directory / "lifecycles.svg", f"{result.title} (jobs/s)", _rates, result))
            written.append(_picture(directory / "cpu.svg", "CPU of a lifecycle (µs)", _cpu, result))
    return written


def _picture(path: Path, title: str, paint: Any, result: Result) -> Path:
    figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    paint(axes, result)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def _rates(axes: "Axes", result: Result) -> None:
    """Medians as bars in ascending order; the error bars extend to the slowest and fastest round."""
    figures = sorted(result.figures.values(), key=lambda figure: figure.median)
    middle = [figure.median for figure in figures]
    bars = axes.barh(
        [figure.name for figure in figures],
        middle,
        color=[OURS if figure.name.startswith("copilot-socket") else THEIRS for figure in figures],
        xerr=[
            [value - min(figure.rounds) for value, figure in zip(middle, figures, strict=True)],
            [max(figure.rounds) - value for value, figure in zip(middle, figures, strict=True)],
        ],
        error_kw={"linewidth": 1},
    )
    axes.bar_label(bars, [f"{value:,.0f}" for value in middle], padding=4)
    axes.set_xscale("log")
    axes.margins(x=0.1)


def _cpu(axes: "Axes", result: Result) -> None:
    """CPU by process group."""
    figures = [figure for figure in result.figures.values() if figure.detail]
    names = [figure.name for figure in figures]
    left = [0.0] * len(figures)
    for part, colour in _PARTS.items():
        widths = [figure.detail_medians()[part] for figure in figures]
        axes.barh(names, widths, left=left, color=colour, label="PostgreSQL" if part == "postgresql" else part)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.legend(frameon=False)


def _curve(axes: "Axes", result: Result) -> None:
    """Medians, and all rounds as dots."""
    figures = sorted(result.figures.values(), key=lambda figure: float(figure.name))
    places = [float(figure.name) for figure in figures]
    axes.plot(places, [figure.median for figure in figures], color=OURS, marker="o", markersize=4)
    for place, figure in zip(places, figures, strict=True):
        axes.plot([place] * len(figure.rounds), figure.rounds, ".", color=THEIRS, zorder=1)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", linewidth=0.3)
    axes.set_xlabel(result.curve or "")
    axes.set_ylabel("jobs/s")
