"""The cost of a checkpoint every 100 steps: steps of a run with and without, wall-clock, synced to disk."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from pathlib import Path

from paired import interleave, report

from rk.catalog import Catalog
from rk.fit.loop import Loop
from rk.fit.train import train
from rk.recipe import check_recipe
from rk.recipe.find import find_recipe
from rk.runs import RunFolder

MLP = """
rk: 1
model: {name: mlp, hidden_sizes: [64]}
data: {name: digits, batch_size: 64}
loss: cross-entropy
trainer: {name: backprop, optimizer: {name: adam, lr: 1e-3}}
fit: {max_steps: 4000, threads: 1, accelerator: cpu}
"""


def seconds(recipe_name: str, overrides: tuple[str, ...]) -> float:
    """Returns the seconds that the steps of a run take, building and tests left out."""
    catalog = Catalog()
    recipe = check_recipe(find_recipe(recipe_name, catalog.plugins), overrides, catalog).valid()
    taken = 0.0
    steps = Loop._train

    def timed(self: Loop, signal: object) -> None:
        nonlocal taken
        start = time.perf_counter()
        steps(self, signal)
        taken = time.perf_counter() - start

    Loop._train = timed
    try:
        with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
            train(recipe, catalog, RunFolder.begin(Path(scratch), "bench", recipe.to_yaml()))
    finally:
        Loop._train = steps
    return taken


def compare(title: str, recipe: str, fixed: tuple[str, ...], rounds: int) -> None:
    contestants = {
        "no checkpoint": lambda: seconds(recipe, fixed),
        "one every 100 steps": lambda: seconds(recipe, (*fixed, "fit.checkpoint_every=100")),
    }
    report(title, interleave(contestants, rounds), "no checkpoint")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "digits.yaml")
        path.write_text(MLP)
        compare("4000 steps of MLP 64-64-10, batch 64, Adam: the worst case", str(path), (), rounds=5)
    never = ("fit.validate_every=null", "fit.monitor=null", "fit.max_steps=600", "expect=[]")
    compare("600 steps of pointer-net/convex-hull-quick", "pointer-net/convex-hull-quick", never, rounds=3)


if __name__ == "__main__":
    main()
