"""The table and the figure of the weights of a quantised run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rk.charts import COLORS, chart, plain, save
from rk.writing import write_csv
from rk_quantization.post_training import Row, total_bits


def write(rows: Sequence[Row], folder: Path, traces: Mapping[str, float] | None = None) -> None:
    """Writes ``layers.csv`` and ``figures/layers.png`` into a run's folder.

    Args:
        rows: What became of each weight.
        folder: Of the run.
        traces: Of the Hessian, by the weights' names; None leaves this column out.
    """
    head = ["weight", "numbers", "bits", "SQNR (dB)", "smallest", "largest", "bytes"]
    lines = [[r.name, r.entries, r.bits, r.sqnr, r.low, r.high, r.size] for r in rows]
    if traces:
        head.append("trace")
        lines = [[*line, traces[r.name]] for line, r in zip(lines, rows, strict=True)]
    write_csv(folder / "layers.csv", head, lines, digits=5)
    (folder / "figures").mkdir(exist_ok=True)
    draw(rows, folder / "figures" / "layers.png")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draws the signal-to-noise ratio and the bits of each weight."""
    with chart(6.0, 1.2 + 0.24 * len(rows), 1, 2, sharey=True) as (figure, left, right):
        places = range(len(rows))
        left.barh(places, [r.sqnr if math.isfinite(r.sqnr) else 0 for r in rows], color=COLORS[0])
        left.set_yticks(places, [plain(r.name) for r in rows])
        left.invert_yaxis()
        left.set_xlabel("SQNR (dB)")
        right.barh(places, [r.bits for r in rows], color=COLORS[1])
        right.set_xlabel("bits")
        save(figure, path)


def text(rows: Sequence[Row]) -> str:
    """Returns the worst weight, the mean bits and the size."""
    if not rows:
        return "no weight was quantised"
    worst = min(rows, key=lambda row: row.sqnr)
    size = sum(row.size for row in rows)
    full = sum(4 * row.entries for row in rows)
    return (
        f"{len(rows)} weights, {total_bits(rows):.3g} bits each on average: {size:,} bytes in place of {full:,}\n"
        f"the least exact is {worst.name}: {worst.sqnr:.1f} dB"
    )
