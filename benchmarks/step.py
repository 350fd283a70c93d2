"""A training step of the loop against a bare PyTorch loop: a tiny MLP, logging every 50 steps, progress on.

    python benchmarks/step.py            the whole step
    python benchmarks/step.py --parts    the same by its parts: what each costs beyond the bare loop, and what for

The parts are the fastest of many short rounds in which both sides take turns: on a machine that others use, the fastest
round is the one that was disturbed least.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from paired import interleave, report
from torch import nn

from rk.builtin.backprop import Backprop
from rk.builtin.digits import Digits
from rk.builtin.losses import CrossEntropy
from rk.builtin.mlp import MLP
from rk.builtin.optimizers import Adam
from rk.catalog import Catalog
from rk.fit.logs import RunningMeans
from rk.fit.runtime import Runtime
from rk.fit.train import train
from rk.plugins import Plugins
from rk.recipe import check_recipe
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
            catalog = Catalog(Plugins(entries=[]))
            recipe = check_recipe(RecipeFile(path), (), catalog).valid()
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


def parts() -> None:
    """Prints the microseconds of each part of a step, in a bare loop and in rk's."""
    torch.set_num_threads(1)
    batch = {"inputs": torch.rand(64, 8, 8), "targets": torch.randint(0, 10, (64,))}
    model, runtime, trainer = MLP(num_features=64, num_classes=10), Runtime(), Backprop(Adam(lr=1e-9))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-9, fused=True)
    learner = trainer.setup(model=MLP(num_features=64, num_classes=10), loss=CrossEntropy(), runtime=runtime)
    logs, scalars = RunningMeans(), {"loss": torch.tensor(1.0)}

    def forward() -> torch.Tensor:
        return nn.functional.cross_entropy(model(inputs=batch["inputs"])["logits"], batch["targets"])

    def update(module: nn.Module, step: Callable[[], object]) -> None:
        for parameter in module.parameters():
            parameter.grad = parameter.data
        step()

    def bare_update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    pairs = {
        "forward: fields by name, a learner": (forward, lambda: learner(batch)),
        "and backward: a sum over its count, detached": (
            lambda: forward().backward(),
            lambda: runtime.backward(learner(batch)),
        ),
        "update: clipping, callbacks, schedule": (
            lambda: update(model, bare_update),
            lambda: update(learner, lambda: runtime.update(*trainer.optimizers)),
        ),
        "the logged mean": (lambda: None, lambda: logs.add(scalars)),
    }
    print(f"\n{'part':<48} {'bare':>8} {'rk':>8} {'more':>8}   microseconds of CPU time")
    for name, (bare, ours) in pairs.items():
        fastest = [min(_round(one) for one in [side] * 60) for side in (bare, ours)]
        print(f"{name:<48} {fastest[0]:8.1f} {fastest[1]:8.1f} {fastest[1] - fastest[0]:8.1f}")


def _round(function: Callable[[], object], calls: int = 100) -> float:
    """Returns the microseconds of one call."""
    begin = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - begin) / calls * 1e6


def main() -> None:
    if "--parts" in sys.argv:
        parts()
        return
    found = interleave({"bare PyTorch loop": bare_seconds, "rk's loop": loop_seconds}, rounds=9)
    report(
        "CPU time of one training step, MLP 64-64-10, batch 64, one thread",
        found,
        "bare PyTorch loop",
        {"rk's loop": 1.05},
    )


if __name__ == "__main__":
    main()
