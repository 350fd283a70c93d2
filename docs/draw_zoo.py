"""Draws what the layers of recipes/sequence-zoo reach, from the numbers that are stored beside the recipes.

python docs/draw_zoo.py    writes plugins/rk-sequence/pictures/zoo.png
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

from rk.charts import COLORS, chart, save

ROOT = Path(__file__).parent.parent
STORED = ROOT / "recipes" / "sequence-zoo" / "results.json"
PICTURE = ROOT / "plugins" / "rk-sequence" / "pictures" / "zoo.png"
TASKS = {
    "s3": ("S3, words of 96", "test-96/sequence-accuracy"),
    "parity": ("parity of 96", "test-96/sequence-accuracy"),
    "adding": ("adding, solved", "test/solved"),
    "recall": ("recall of 4 pairs", "test/accuracy"),
    "reber": ("embedded Reber", "test/second-last"),
}
"""Task -> title, and what is drawn: shares from 0 to 1."""
FIRST = ("elman", "lstm", "gru", "deltanet", "deltaproduct", "lssl", "tcnca", "plstm", "attention")
"""The order of the layers; others follow."""


def main() -> None:
    results = json.loads(STORED.read_text(encoding="utf-8"))["results"]
    found = {name.partition("-")[2] for name in results}
    layers = [*(name for name in FIRST if name in found), *sorted(found - {*FIRST})]
    with chart(9.0, 0.28 * len(layers) + 0.7, columns=len(TASKS)) as (figure, *axes):
        for i, (axis, (task, (title, metric))) in enumerate(zip(axes, TASKS.items(), strict=True)):
            for row, layer in enumerate(layers):
                values = results.get(f"{task}-{layer}", {}).get("metrics", {}).get(metric, [])
                if values:
                    axis.barh(row, fmean(values), color=COLORS[0], alpha=0.45)
                    axis.plot(values, [row] * len(values), "o", color=COLORS[1], markersize=3)
            axis.set_title(title, fontsize=9)
            axis.set_xlim(0, 1.04)
            axis.set_yticks(range(len(layers)), layers if i == 0 else [""] * len(layers))
            axis.invert_yaxis()
        save(figure, PICTURE)


if __name__ == "__main__":
    main()
