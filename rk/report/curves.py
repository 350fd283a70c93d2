"""Curves over the steps of one or several runs, drawn with matplotlib.

A figure for a page is an SVG whose ink is ``currentColor``, so that it follows the page into a dark room.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rk.charts import COLORS, chart, plain, save
from rk.report.labels import run_labels
from rk.report.summary import RunSummary, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS = 600
MAX_NAMED = 12
"""Curves of one panel that its legend names."""
_INK = "#010203"
"""A placeholder for the page's text colour until the SVG is written."""


def metric_names(runs: Iterable[RunSummary]) -> list[str]:
    """Returns the metrics, without their splits, that have a curve in one of the runs: losses first."""
    found = dict.fromkeys(
        name.partition("/")[2] for run in runs for name, series in run.series.items() if len(series) > 1
    )
    return sorted(found, key=lambda name: name != "loss")


def draw_file(runs: list[RunSummary], metrics: list[str], path: Path) -> None:
    """Draws one panel per metric, side by side, into an image file.

    Raises:
        UserError: When matplotlib is not installed, or the file cannot be written.
    """
    columns = min(2, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    with chart(5.4 * columns, 3.2 * rows, rows, columns) as (figure, *panels):
        for panel, metric in zip(panels, metrics, strict=False):
            _panel(panel, runs, metric)
        for panel in panels[len(metrics) :]:
            panel.remove()
        save(figure, path)


def draw_inline(runs: list[RunSummary], metric: str) -> str:
    """Returns one panel as an ``<svg>`` element for a page."""
    salt = " ".join([metric, *(str(run.folder.path) for run in runs)])  # ids must be unique in the whole page
    ink = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK)
    with chart(5.0, 2.9, style={**ink, "grid.color": _INK, "svg.hashsalt": salt}) as (figure, axes):
        axes.set_facecolor("none")
        _panel(axes, runs, metric)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?:figure|axes|patch|line2d|matplotlib\.axis|xtick|ytick|text|legend)_\d+"', "", svg)
    return re.sub(r'(<svg\b[^>]*?) width="[^"]*"| height="[\d.]+pt"', lambda m: m.group(1) or "", svg, count=2)


def _panel(axes: Axes, runs: list[RunSummary], metric: str) -> None:
    """Draws every split's series of `metric`: a colour per split for one run, a colour per run for several."""
    values: list[float] = []
    labels = run_labels(runs)
    for i, run in enumerate(runs):
        names = [n for n in run.series if n.partition("/")[2] == metric and len(run.series[n]) > 1]
        for j, name in enumerate(names):
            split = name.partition("/")[0]
            color = COLORS[(_place(split, j) if len(runs) == 1 else i) % len(COLORS)]
            style = "-" if len(runs) == 1 or not split.startswith("train") else ":"
            label = split if len(runs) == 1 else f"{labels[i]} {split}"
            series = thinned(run.series[name])
            values += [value for _, value in series]
            axes.plot(*zip(*series, strict=True), style, color=color, label=plain(label), linewidth=1.4)
    if values and min(values) > 0 and max(values) > 30 * min(values):
        axes.set_yscale("log")
    axes.set_ylabel(plain(metric))
    axes.set_xlabel("step")
    _legend(axes, 3 if len(runs) == 1 else 1 if max(map(len, labels)) > 24 else 2)


def _legend(axes: Axes, columns: int) -> None:
    """Names the curves above the axes, where none of them runs."""
    handles, names = axes.get_legend_handles_labels()
    if more := len(names) - MAX_NAMED if len(names) > MAX_NAMED + 1 else 0:
        handles, names = handles[:MAX_NAMED], [*names[:MAX_NAMED], f"and {more} more"]
        handles.append(axes.plot([], [], alpha=0)[0])
    if names:
        columns = min(columns, len(names))
        axes.legend(handles, names, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=columns)


def _place(split: str, number: int) -> int:
    """Returns the colour of a split: the same in every panel for train and val."""
    return {"train": 0, "val": 1}.get(split, 2 + number)


def thinned(series: Series) -> Series:
    """Returns at most `MAX_POINTS` of the points, evenly spaced, the last one among them."""
    stride = math.ceil(len(series) / MAX_POINTS)
    return series if stride <= 1 else [*series[:-1:stride], series[-1]]
