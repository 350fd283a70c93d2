"""Answers and true ones as outlines of points, drawn with matplotlib's object API: no pyplot, so no global state."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation

from rk_pointer_net.reading import PointSet
from rk_pointer_net.styles import DrawingStyle

INK, QUIET, GOOD, BAD = "#1f2933", "#7b8794", "#0b7a75", "#c2410c"
TRUTH: dict[str, Any] = {"color": INK, "linestyle": (0, (4, 3)), "linewidth": 1.2}
MOST_SETS = 12
MOST_LABELS = 60
"""With more points than this, only those that matter are named."""


def draw(sets: Sequence[PointSet], answers: Sequence[dict[str, Any]], style: DrawingStyle, out: Path) -> list[Path]:
    """Draws a map with labels for a single set, else a grid of up to 12, into a file beginning with `out`."""
    figure = draw_map(sets[0], answers[0], style) if len(sets) == 1 else draw_grid(sets, answers, style)
    out = image_path(out)
    figure.savefig(out, dpi=160)
    return [out]


def draw_grid(sets: Sequence[PointSet], answers: Sequence[dict[str, Any]], style: DrawingStyle) -> Figure:
    """Draws up to 12 sets, four in a row."""
    shown = list(zip(sets, answers, strict=True))[:MOST_SETS]
    columns = min(4, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = _figure(2.4 * columns + 0.4, 2.6 * rows + 1.0)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (points, answer) in zip(panels, shown, strict=False):
        _draw(panel, points, answer, style, dot=4)
        panel.set_title(style.verdict(answer), fontsize=9, color=GOOD if style.is_right(answer) else BAD, pad=4)
        panel.set_xticks([])
        panel.set_yticks([])
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    title = f"{sum(map(style.is_right, answers))} of {len(answers)} answers are {style.truth_name}"
    if len(shown) < len(answers):
        title += f"; the first {len(shown)}"
    _frame(figure, title, answers[:MOST_SETS], style)
    return figure


def draw_map(points: PointSet, answer: dict[str, Any], style: DrawingStyle) -> Figure:
    """Draws one set, with its labels and axes."""
    wide, high = (points.coordinates.amax(0) - points.coordinates.amin(0)).tolist()
    longest = max(wide, high) or 1.0
    figure = _figure(10 * max(wide / longest, 0.35) + 0.6, 10 * max(high / longest, 0.35) + 1.2)
    panel = figure.subplots()
    _draw(panel, points, answer, style, dot=5)
    panel.set_xlabel(points.axes[0], color=QUIET, fontsize=9)
    panel.set_ylabel(points.axes[1], color=QUIET, fontsize=9)
    panel.tick_params(colors=QUIET, labelsize=8, length=3)
    n = len(points.coordinates)
    _frame(figure, f"{style.task} of {n} points: {style.verdict(answer)}", [answer], style)
    if points.labels:
        _write_labels(figure, panel, points, points.labels, answer, style)
    return figure


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _frame(figure: Figure, title: str, answers: Sequence[dict[str, Any]], style: DrawingStyle) -> None:
    """Adds the title and a legend of what there is to see, and gives the panels what room is left."""
    rights = {right for answer in answers for _, right in style.answered(answer)}
    right, wrong, truth = style.kinds
    entries = [
        *(
            _sample(c, text, style)
            for c, text, is_right in ((GOOD, right, True), (BAD, wrong, False))
            if is_right in rights
        ),
        Line2D([], [], **TRUTH, label=truth),
    ]
    figure.suptitle(title, fontsize=11.5, color=INK)
    figure.legend(handles=entries, loc="lower center", ncols=len(entries), frameon=False, fontsize=8.5, labelcolor=INK)
    height = figure.get_figheight()
    figure.tight_layout(rect=(0, 0.35 / height, 1, 1 - 0.1 / height), pad=0.7)


def _sample(colour: str, text: str, style: DrawingStyle) -> Artist:
    if style.is_area:
        return Patch(facecolor=colour, alpha=0.25, edgecolor=colour, label=text)
    return Line2D([], [], color=colour, linewidth=1.8, label=text)


def _draw(panel: Axes, points: PointSet, answer: dict[str, Any], style: DrawingStyle, dot: float) -> None:
    """Draws the points, the truth dashed, and the answer, filled if it is an area, with rings where it matters."""
    xy = points.coordinates
    important = style.important(answer)
    for outline, right in sorted(style.answered(answer), key=lambda part: part[1]):  # what is right is on top
        colour = GOOD if right else BAD
        x, y = xy[[j - 1 for j in outline]].T
        if style.is_area:
            panel.fill(x, y, facecolor=colour, alpha=0.16, zorder=1)
        panel.plot([*x, x[0]], [*y, y[0]], color=colour, linewidth=1.8, solid_joinstyle="round", zorder=3)
        x, y = xy[[j - 1 for j in outline if j in important]].T
        panel.plot(x, y, "o", color="white", markeredgecolor=colour, markersize=dot + 3, markeredgewidth=1.5, zorder=4)
    edges = [xy[[a - 1, b - 1]].numpy() for a, b in _edges(style.truth(answer))]
    panel.add_collection(LineCollection(edges, **TRUTH, zorder=3.5))
    panel.plot(xy[:, 0], xy[:, 1], "o", color=INK, markersize=dot, markeredgewidth=0, zorder=5)
    panel.set_aspect("equal", adjustable="box" if len(points.labels or ()) else "datalim")
    panel.margins(0.08)
    for spine in panel.spines.values():
        spine.set_color("#d5dae0")


def _edges(outlines: Iterable[list[int]]) -> list[tuple[int, int]]:
    """Returns each edge of closed outlines once."""
    edges = [(min(edge), max(edge)) for outline in outlines for edge in pairwise([*outline, *outline[:1]])]
    return list(dict.fromkeys(edges))


SPOTS = [
    (8, 0, "left", "center"), (-8, 0, "right", "center"), (0, 8, "center", "bottom"), (0, -8, "center", "top"),
    (6, 5, "left", "bottom"), (6, -5, "left", "top"), (-6, 5, "right", "bottom"), (-6, -5, "right", "top"),
]  # fmt: skip
"""Where a label may be: its offset from the point, and which of its sides is there."""


def _write_labels(
    figure: Figure, panel: Axes, points: PointSet, labels: Sequence[str], answer: dict[str, Any], style: DrawingStyle
) -> None:
    """Writes each label at the spot inside where it covers least of the points, the outlines and earlier labels."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)  # of `_figure`
    canvas.draw()  # from here on, coordinates have a place on the page
    renderer = canvas.get_renderer()
    frame = np.asarray(panel.get_window_extent(renderer).extents)
    places = panel.transData.transform(points.coordinates.numpy())
    taken = [_boxes(places, 7)]
    outlines = [*(outline for outline, _ in style.answered(answer)), *style.truth(answer)]
    for edge in _edges(outlines):
        start, end = places[[j - 1 for j in edge]]
        taken.append(_boxes(np.linspace(start, end, max(2, int(np.hypot(*(end - start)) / 8))), 4))
    important = style.important(answer)
    for j in sorted(
        range(1, len(places) + 1), key=lambda j: j not in important
    ):  # the most important points choose first
        if len(places) > MOST_LABELS and j not in important:
            break
        ink: dict[str, Any] = {"color": INK, "fontweight": "bold"} if j in important else {"color": QUIET}
        halo = [withStroke(linewidth=2.5, foreground="white", alpha=0.8)]
        x, y = points.coordinates[j - 1].tolist()
        label = panel.annotate(
            labels[j - 1], (x, y), xytext=(0, 0), textcoords="offset points",
            fontsize=8.5, zorder=6, path_effects=halo, **ink,
        )  # fmt: skip
        others = np.concatenate(taken)
        boxes = [_box_at(label, spot, renderer) for spot in SPOTS]
        covered = [round(_overlap(box, others).sum() - _overlap(box, frame[None]).sum()) for box in boxes]
        taken.append(_box_at(label, SPOTS[int(np.argmin(covered))], renderer))


def _box_at(label: Annotation, spot: tuple[float, float, str, str], renderer: RendererBase) -> np.ndarray:
    """Moves a label to a spot and returns the box (x0, y0, x1, y1) that it takes there, in pixels, as one row."""
    x, y, across, along = spot
    label.set(position=(x, y), horizontalalignment=across, verticalalignment=along)
    return np.asarray(label.get_window_extent(renderer).extents)[None]


def _boxes(middles: np.ndarray, size: float) -> np.ndarray:
    return np.concatenate([middles - size / 2, middles + size / 2], axis=1)


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the area that a box shares with each of the others."""
    sides = np.minimum(box[:, 2:], others[:, 2:]) - np.maximum(box[:, :2], others[:, :2])
    return sides.clip(min=0).prod(axis=1)


def image_path(out: Path) -> Path:
    """Returns `out` with an ending that matplotlib can write."""
    return out if out.suffix in (".png", ".svg", ".pdf") else out.with_name(out.name + ".png")
