"""Figures: where errors are, answers against targets, and errors against width and temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from rk.charts import COLORS, chart, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 4
"""Most positions that get a panel of their own."""


def draw_errors(
    inputs: Float[Tensor, "points time features"],
    errors: Float[Tensor, "points time outputs"],
    bounds: Mapping[str, float],
    out: Path,
) -> Path:
    """Draws how many points have an error above each size and, where sequences are two numbers, where they are."""
    plane = inputs[0].numel() == 2
    steps = errors.shape[1] if plane else 0
    with chart(3.4 + 2.9 * steps, 3.0, columns=1 + steps) as (figure, first, *rest):
        _draw_shares(first, errors, bounds)
        x, y = inputs.flatten(1).T if plane else (None, None)
        for i, axis in enumerate(rest):
            shown = axis.scatter(x, y, c=errors[:, i].amax(1), s=9, marker="s", cmap="viridis")
            figure.colorbar(shown, ax=axis)
            axis.set_title(f"error at step {i + 1}")
            axis.set_xlabel("$x_1$")
            axis.set_ylabel("$x_2$")
            axis.grid(visible=False)
        return save(figure, out)


def _draw_shares(axis: Axes, errors: Float[Tensor, "points time outputs"], bounds: Mapping[str, float]) -> None:
    share = torch.linspace(1, 1 / len(errors), len(errors)).tolist()
    for i in range(min(MOST, errors.shape[1])):
        ordered = errors[:, i].amax(1).sort().values.clamp(min=1e-12)
        axis.plot(ordered.tolist(), share, color=COLORS[i], linewidth=1.6, label=f"step {i + 1}")
    for name, style in (("no-positions", "--"), ("no-attention", ":")):
        if bounds.get(f"{name}-bound", 0) > 0:
            axis.axvline(bounds[f"{name}-bound"], color=COLORS[7], linestyle=style, label=name.replace("-", " "))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("error")
    axis.set_ylabel("share of points above")
    axis.legend()


def draw_answers(
    values: Float[Tensor, "batch time outputs"], targets: Float[Tensor, "batch time outputs"], out: Path
) -> Path:
    """Draws values against targets, a colour for each step."""
    with chart(3.6, 3.4) as (figure, axis):
        for i in range(min(MOST, values.shape[1])):
            known, answer = targets[:, i].flatten().tolist(), values[:, i].flatten().tolist()
            axis.plot(known, answer, ".", color=COLORS[i], markersize=3, label=f"step {i + 1}")
        ends = [float(targets.min()), float(targets.max())]
        axis.plot(ends, ends, color=COLORS[7], linewidth=1)
        axis.set_xlabel("target")
        axis.set_ylabel("answer")
        axis.legend()
        return save(figure, out)


Curve = Sequence[tuple[float, float]]
"""Points of a curve."""


def draw_table(
    by_width: Mapping[str, Curve], lines: Mapping[str, float], by_beta: Mapping[str, Curve], out: Path
) -> Path:
    """Draws errors against hidden units, with the errors of the controls as lines, and errors against beta."""
    with chart(8.2, 3.4, columns=2) as (figure, left, right):
        for i, (name, curve) in enumerate(by_width.items()):
            left.plot(*zip(*curve, strict=True), "o-", color=COLORS[i], markersize=4, linewidth=1.4, label=name)
        for i, (name, value) in enumerate(lines.items()):
            left.axhline(value, color=COLORS[7], linestyle=("--", ":", "-.")[i % 3], label=name)
        left.set_xscale("log")
        left.set_yscale("log")
        left.margins(y=0.06)
        left.set_ylim(top=60 * max(lines.values(), default=1))
        left.set_xlabel("hidden units")
        left.set_ylabel("error on the grid")
        for i, (name, curve) in enumerate(by_beta.items()):
            style = "--" if "bound" in name else "o-"
            right.plot(*zip(*curve, strict=True), style, color=COLORS[i], markersize=4, linewidth=1.4, label=name)
        right.set_yscale("log")
        right.set_xlabel(r"$\beta$")
        for axis in (left, right):
            axis.legend(fontsize=7, loc="upper right")
        return save(figure, out)
