"""Five trained runs of five plugins, made smaller in four ways, in one table: the metric, bytes, weights, latency.

    python benchmarks/smaller.py           trains (some five minutes on one core), and prints the table
    python benchmarks/smaller.py --write   also puts it into docs/how-to/smaller.md

The runs are quantised to 8 bits, quantised to 4 bits on average by `mixed-precision`, and trained again with a tenth of
their weights by `gradual-pruning`. Half of the width is a sub-network where the trainer is back-propagation over a conv
net, and elsewhere the recipe at half of its size.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rk
from rk.cli import cli
from rk.runs import RunFolder

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "how-to" / "smaller.md"
MARKS = ("<!-- smaller -->", "<!-- /smaller -->")
FORMATS = ("safetensors", "int-safetensors", "sparse-safetensors")
QUANTISED = ("8 bits", "4 bits on average")
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "pointer-net/convex-hull-quick": ("test/accuracy", {"model": {"hidden_size": 32}}),
    "noprop/digits-dt": ("test/accuracy", {}),
    "deltaproduct/s3-quick": ("test/sequence-accuracy", {"model": {"d_model": 32}}),
    "vision/mnist-quick": (
        "test/accuracy",
        {
            "trainer": {
                "name": "sorted",
                "optimizer": {"name": "adam", "lr": 3e-3, "schedule": {"name": "linear", "end": 1e-5}},
                "layers": ["blocks.*", "head.1"],
                "widths": [0.5, 1.0],
            },
        },
    ),
    "sequence/text-quick": ("test/perplexity", {"model": {"d_model": 64}}),
}
"""Recipe -> what is compared, and the changes that halve its width; none: it cannot be halved by a change."""


def command(*words: str) -> None:
    code = cli([*words], standalone_mode=False)
    if code:
        raise SystemExit(f"rk {' '.join(words)} ended with {code}")


def newest(folder: Path) -> Path:
    return max(RunFolder.all(folder), key=lambda run: run.path.stat().st_mtime).path


def searched(name: str, run: Path, folder: Path, *options: str) -> Path:
    command("search", name, "--run", str(run), "--runs-dir", str(folder), *options)
    return newest(folder)


def trained(recipe: str, folder: Path, changes: Mapping[str, Any]) -> Path:
    return Path(rk.train(recipe, runs_dir=folder, progress=False, expect=[], **changes).path)


def variants(recipe: str, half: dict[str, Any], folder: Path) -> dict[str, Path]:
    whole = trained(recipe, folder / "whole", {})
    pruning = {"name": "gradual-pruning", "density": 0.1}
    found = {
        "32 bits": whole,
        "8 bits": searched("quantize", whole, folder / "w8", "--bits", "8"),
        "4 bits on average": searched("mixed-precision", whole, folder / "w4", "--budget", "4"),
        "a tenth of the weights": trained(recipe, folder / "sparse", {"callbacks": [pruning]}),
    }
    if half:
        run = trained(recipe, folder / "half", half)
        if "trainer" in half:
            changes = json.dumps({"model.channels": [8, 16], "model.hidden_sizes": [32]})
            options = ["--run", str(run), "--width", "0.5", "--changes", changes, "--runs-dir", str(folder / "cut")]
            command("analyze", "extract-subnet", *options)
            run = next(p.parent for p in (folder / "cut").rglob("subnet/model.safetensors"))
        found["half of the width"] = run
    return found


def measured(runs: Mapping[str, Path], metric: str, folder: Path) -> list[dict[str, str]]:
    paths = json.dumps([str(path) for path in runs.values()])
    formats = json.dumps(FORMATS)
    options = ["--runs", paths, "--metric", metric, "--formats", formats, "--runs-dir", str(folder / "footprint")]
    command("analyze", "footprint", *options)
    with open(next((folder / "footprint").rglob("footprint.csv")), encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def lines(recipe: str, metric: str, names: list[str], rows: list[dict[str, str]]) -> list[str]:
    found = []
    for name, row in zip(names, rows, strict=True):
        formats = FORMATS[1:2] if name in QUANTISED else FORMATS[::2]  # of other runs, the packed file would be rounded
        size = min(int(row[f"bytes {f}"]) for f in formats if row.get(f"bytes {f}"))
        title = f"`{recipe}`, {metric}" if name == names[0] else ""
        cells = [title, name, f"{float(row[metric]):.4g}", f"{size / 1024:.1f}", row["not zero"], row["flops"]]
        found.append(f"| {' | '.join(cells)} | {float(row['ms torch']):.2f} |")
    return found


def main() -> None:
    table = [
        "| run | made smaller by | metric | smallest file, KiB | weights that are not zero | flops per example | ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for recipe, (metric, half) in RUNS.items():
        with tempfile.TemporaryDirectory() as scratch:
            runs = variants(recipe, half, Path(scratch))
            table += lines(recipe, metric, [*runs], measured(runs, metric, Path(scratch)))
        print("\n".join(table), flush=True)
    if "--write" in sys.argv:
        text = PAGE.read_text(encoding="utf-8")
        new = f"{MARKS[0]}\n\n" + "\n".join(table) + f"\n\n{MARKS[1]}"
        PAGE.write_text(re.sub(f"{MARKS[0]}.*{MARKS[1]}", lambda _: new, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
