"""Figures of routes: the share of tokens in each recursion over the steps, and depths by kind of token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rk.charts import COLORS, chart, save


def draw_occupancy(steps: Sequence[int], curves: Mapping[str, Sequence[float]], path: Path) -> Path:
    """Draws the share of tokens that take each recursion: as in training, and as the model answers.

    Args:
        steps: Where it was measured.
        curves: By name; those called ``occupancy-R`` and ``answered-R`` are drawn.
        path: The image file.
    """
    with chart(5.2, 2.6) as (figure, axis):
        for name, values in curves.items():
            kind, _, number = name.rpartition("-")
            if kind not in ("occupancy", "answered"):
                continue
            label = f"recursion {number}" + (", as it answers" if kind == "answered" else "")
            style = "--" if kind == "answered" else "-"
            axis.plot(steps, values, style, color=COLORS[(int(number) - 1) % len(COLORS)], linewidth=1.6, label=label)
        axis.set_ylim(-0.02, 1.04)
        axis.set_xlabel("step")
        axis.set_ylabel("share of tokens")
        axis.legend()
        return save(figure, path)


def draw_depths(kinds: Mapping[str, Sequence[int]], path: Path) -> Path:
    """Draws, for each kind of token, which shares of them took how many recursions.

    Args:
        kinds: Kind -> how many tokens took 0, 1, ... recursions.
        path: The image file.
    """
    depths = range(max((len(counts) for counts in kinds.values()), default=0))
    with chart(5.2, 0.9 + 0.28 * len(kinds)) as (figure, axis):
        names = list(kinds)[::-1]
        left = [0.0] * len(names)
        for depth in depths:
            shares = [kinds[name][depth] / max(sum(kinds[name]), 1) for name in names]
            if any(shares):
                axis.barh(names, shares, left=left, color=COLORS[depth % len(COLORS)], label=f"{depth}")
            left = [a + b for a, b in zip(left, shares, strict=True)]
        axis.set_xlim(0, 1)
        axis.set_xlabel("share of tokens, by number of recursions")
        axis.legend(title="recursions", loc="center left", bbox_to_anchor=(1.0, 0.5))
        return save(figure, path)
