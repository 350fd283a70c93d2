"""A step with the callback `average` against one without: three sizes of an MLP, batch 64, one thread.

    python benchmarks/average.py

Both sides take turns; the fastest rounds are compared, as in `benchmarks/step.py --parts`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import torch

from rk.builtin.average import Average
from rk.builtin.backprop import Backprop
from rk.builtin.losses import CrossEntropy
from rk.builtin.mlp import MLP
from rk.builtin.optimizers import Adam
from rk.fit.runtime import Runtime

SIZES = ([64], [512, 512], [1024, 1024, 1024, 1024])


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'hidden layers':<28} {'weights':>10} {'step':>8} {'ema':>8} {'swa':>8} {'measured':>9}   CPU time in us")
    for sizes in SIZES:
        learner, step = _training(sizes)
        batch = {"inputs": torch.rand(64, 8, 8), "targets": torch.randint(0, 10, (64,))}
        sides: dict[str, Callable[[], object]] = {"step": lambda step=step, batch=batch: step(batch)}
        for kind in ("ema", "swa"):
            average, fit = Average(kind=kind), _context(learner)
            average.fit_start(fit)
            sides[kind] = lambda average=average, fit=fit: average.after_step(fit)
            sides["measured"] = lambda average=average: average._put()()
        calls = max(5, 200_000 // sum(p.numel() for p in learner.parameters()))
        rounds = [{name: _round(side, calls) for name, side in sides.items()} for _ in range(30)]
        fastest = {name: min(found[name] for found in rounds) for name in sides}
        weights = sum(p.numel() for p in learner.parameters())
        row = "".join(f"{fastest[name]:9.1f}" for name in ("step", "ema", "swa", "measured"))
        print(f"{sizes!s:<28} {weights:>10,}{row}   ema: {fastest['ema'] / fastest['step']:.1%} of a step")


def _training(sizes: list[int]) -> tuple[torch.nn.Module, Callable[..., object]]:
    trainer, model = Backprop(Adam(lr=1e-9)), MLP(num_features=64, num_classes=10, hidden_sizes=sizes)
    learner = trainer.setup(model=model, loss=CrossEntropy(), runtime=Runtime())
    return learner, trainer.step


def _context(learner: torch.nn.Module) -> SimpleNamespace:
    return SimpleNamespace(learner=learner, runtime=Runtime(), step=1)


def _round(function: Callable[[], object], calls: int) -> float:
    """Returns the microseconds of one call."""
    begin = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - begin) / calls * 1e6


if __name__ == "__main__":
    main()
