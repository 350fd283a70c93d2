"""A training step of the loop against a bare PyTorch loop: a tiny MLP, logging every 50 steps, progress on."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
from paired import interleave, report
from torch import nn

from rk.builtin.digits import Digits
from rk.builtin.mlp import MLP
from rk.catalog import Catalog
from rk.fit.train import train
from rk.plugins import Plugins
from rk.recipe import read_recipe
from rk.recipe.find import RecipeFile
from rk.runs import RunFolder

STEPS = 1500
RECIPE = f"""
rk: 1
model: {{name: mlp, hidden_sizes: [64]}}
data: {{name: digits, batch_size: 64}}
loss: cross-entropy
trainer: {{name: backprop, optimizer: {{name: adam, lr: 1e-3}}}}
fit: {{max_steps: {STEPS}, threads: 1, log_every: 50, accelerator: cpu}}
"""


def timed_stream(clock: list[float], data):
    """Wraps the data so that the time from one training batch to the next is known."""
    original = data.batch

    def batch(split, i, stage=0):
        if split == "train":
            clock.append(time.process_time())  # one thread: what others do meanwhile does not count
        return original(split, i, stage)

    data.batch = batch
    return data


def loop_seconds() -> float:
    """Returns the seconds per step of rk's loop."""
    import rk.fit.build

    clock: list[float] = []
    build = rk.fit.build.Builder.data
    rk.fit.build.Builder.data = lambda self: timed_stream(clock, build(self))
    try:
        with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
            path = Path(scratch, "bench.yaml")
            path.write_text(RECIPE)
            catalog = Catalog(Plugins(offers=[]))
            recipe, problems, _ = read_recipe(RecipeFile(path), (), catalog)
            assert not problems, problems
            folder = RunFolder.create(Path(scratch), "bench")
            folder.recipe.write_text(recipe.to_yaml())
            train(recipe, catalog, folder)
    finally:
        rk.fit.build.Builder.data = build
    return _per_step(clock)


def bare_seconds() -> float:
    """Returns the seconds per step of the loop that one would write by hand, over the same data."""
    clock: list[float] = []
    data = Digits(seed=0, batch_size=64)
    data.prepare()
    timed_stream(clock, data)
    torch.set_num_threads(1)
    model = MLP(num_features=64, num_classes=10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    for i in range(STEPS):
        batch = data.batch("train", i)
        loss = nn.functional.cross_entropy(model(inputs=batch["inputs"])["logits"], batch["targets"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if i % 50 == 49:
            loss.item()
    return _per_step(clock)


def _per_step(clock: list[float]) -> float:
    steps = sorted(b - a for a, b in pairwise(clock[100:]))
    return sum(steps[: int(len(steps) * 0.95)]) / int(len(steps) * 0.95)  # less what the machine did meanwhile


def main() -> None:
    found = interleave({"bare PyTorch loop": bare_seconds, "rk's loop": loop_seconds}, rounds=9)
    report(
        "CPU time of one training step, MLP 64-64-10, batch 64, one thread",
        found,
        "bare PyTorch loop",
        {"rk's loop": 1.05},
    )


if __name__ == "__main__":
    main()
