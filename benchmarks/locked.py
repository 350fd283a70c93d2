"""Repeats a small run in an environment that uv builds from nothing, and says how long each part took.

    python benchmarks/locked.py

It takes a minute or two, and needs an index (or a cache of uv's) with every installed distribution.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import rk
from rk.reproduce import locked
from rk.runs import RunFolder

RECIPE = {
    "rk": 1,
    "data": {"name": "digits", "batch_size": 32},
    "model": {"name": "mlp", "hidden_sizes": [32]},
    "loss": "cross-entropy",
    "trainer": {"name": "backprop", "optimizer": {"name": "adam", "lr": 0.01}},
    "fit": {"max_steps": 200},
}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="rk-locked-") as folder:
        os.environ["RK_CACHE"] = f"{folder}/cache"
        run = RunFolder(rk.train(RECIPE, runs_dir=Path(folder, "runs"), progress=False).path)
        began = time.perf_counter()
        python = locked.environment(locked.lock_text(run), str(run.read()["environment"]["python"]), print)
        built = time.perf_counter()
        found = locked.compare(run, locked.train_again(run, python))
        print(f"built in {built - began:.1f} s, repeated in {time.perf_counter() - built:.1f} s")
        print("\n".join(found.lines()))
    return 0 if found.equal else 3


if __name__ == "__main__":
    raise SystemExit(main())
