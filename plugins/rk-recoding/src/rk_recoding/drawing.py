"""Figures of the plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rk.charts import COLORS, chart, plain, save


def draw_sweep(
    signal: str,
    steps: Sequence[float],
    perplexities: Sequence[float],
    drops: Sequence[float],
    baseline: float,
    out: Path,
) -> Path:
    """Draws perplexity and the fall of the signal by the size of the step; returns the file."""
    with chart(6.4, 2.6, columns=2) as (figure, left, right):
        left.plot(steps, perplexities, marker="o", color=COLORS[0], label="recoded")
        left.axhline(baseline, color=COLORS[7], linestyle="--", label="as it is")
        left.set_ylabel("perplexity")
        left.legend()
        right.plot(steps, drops, marker="o", color=COLORS[1])
        right.axhline(0, color=COLORS[7], linestyle="--")
        right.set_ylabel(f"fall of {signal} at the step")
        for axis in (left, right):
            axis.set_xscale("symlog", linthresh=min((s for s in steps if s > 0), default=1.0))
            axis.set_xlim(left=0)
            axis.set_xlabel("step size")
        return save(figure, out / "recoding-sweep.png")


def draw_regions(
    title: str, names: Sequence[str], curves: Mapping[tuple[str, str], Sequence[float]], path: Path
) -> Path:
    """Draws surprisal by region, a colour for each condition; recoded ones are dashed. Returns the file."""
    conditions = list(dict.fromkeys(condition for condition, _ in curves))
    with chart(7.0, 3.2) as (figure, axis):
        for (condition, how), values in curves.items():
            color = COLORS[conditions.index(condition) % len(COLORS)]
            label = condition if how == "plain" else None
            axis.plot(range(len(values)), values, color=color, linestyle="-" if how == "plain" else ":", label=label)
        axis.set_xticks(range(len(names)), [plain(name) for name in names], rotation=20, ha="right")
        axis.set_ylabel("surprisal (nats)")
        axis.set_title(plain(title) + ": dotted where recoded", fontsize=9)
        axis.legend()
        return save(figure, path)


def draw_peak(offsets: Sequence[int], surprisal: Sequence[float], path: Path) -> Path:
    """Draws the mean surprisal by distance to the verb that undoes the first reading; returns the file."""
    with chart(4.4, 2.6) as (figure, axis):
        axis.plot(offsets, surprisal, marker="o", color=COLORS[0])
        axis.axvline(0, color=COLORS[7], linestyle="--")
        axis.set_xlabel("words behind the second verb")
        axis.set_ylabel("surprisal (nats)")
        return save(figure, path)
