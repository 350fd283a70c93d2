"""The analysis `subnet-budget`: what each sub-network costs and reaches, and the best one within a budget."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rk import Batch, LoadedRun, Run, UserError
from rk.writing import write_csv
from rk_sortednet.nested import Nested
from rk_sortednet.subnets import Subnet


class SubnetBudget:
    """Measures every sub-network of a run: parameters, multiplications and latency for a batch, and its metric.

    It writes ``subnets.csv``, and prints the best sub-network that keeps the budget.

    Args:
        run: A run whose trainer is `sorted`.
        max_parameters: The budget in weights; null: none.
        max_flops: The budget in floating-point operations per example; null: none.
        max_milliseconds: The budget in time for a batch; null: none.
        metric: What is best, ``test/accuracy``.
        batch_size: Examples of the batch that is timed, at most.
        repeats: Times that the batch is answered; the median counts.

    Examples:
        rk analyze subnet-budget --run last --max-parameters 10000
    """

    def __init__(
        self,
        run: Run,
        max_parameters: Annotated[int, Ge(1)] | None = None,
        max_flops: Annotated[int, Ge(1)] | None = None,
        max_milliseconds: Annotated[float, Gt(0)] | None = None,
        metric: str = "test/accuracy",
        batch_size: Annotated[int, Ge(1)] = 64,
        repeats: Annotated[int, Ge(1)] = 20,
    ) -> None:
        self.run = run
        self.budget = (max_parameters, max_flops, max_milliseconds)
        self.metric = metric
        self.batch_size = batch_size
        self.repeats = repeats

    def analyze(self, out: Path) -> dict[str, float]:
        """Measures all; returns the number of sub-networks, and the best one's score, parameters, operations and time.

        Raises:
            rk.UserError: When the run has no nested network or metric, or nothing keeps the budget.
        """
        learner = self.run.learner
        if not isinstance(learner, Nested):
            raise UserError("the run has no nested network", "train it with trainer: {name: sorted, ...}")
        split = self.metric.partition("/")[0]
        batch = {k: v[: self.batch_size] for k, v in next(self.run.batches(split, 1)).items() if hasattr(v, "shape")}
        metrics = LoadedRun.open(Path(self.run.folder.path)).evaluate()
        if self.metric not in metrics:
            raise UserError(f"the run has no {self.metric!r}", f"--metric takes: {', '.join(metrics)}")
        rows = []
        for subnet in [*learner.measured, learner.whole]:
            name = self.metric if subnet == learner.whole else f"{self.metric}@{subnet.name}"
            rows.append((subnet.name, metrics[name], *costs(learner, subnet, batch, self.repeats)))
        write_csv(out / "subnets.csv", ["sub-network", self.metric, "parameters", "flops", "milliseconds"], rows)
        within = [r for r in rows if all(b is None or value <= b for b, value in zip(self.budget, r[2:], strict=True))]
        if not within:
            small = min(rows, key=lambda row: row[2])
            raise UserError(
                "no sub-network keeps the budget",
                f"the smallest, {small[0]}, has {small[2]} parameters, {small[3]} flops and takes {small[4]:.3g} ms",
            )
        best = max(within, key=lambda row: row[1])
        print(f"{best[0]}: {self.metric} {best[1]:.4g}, {best[2]} parameters, {best[3]} flops, {best[4]:.3g} ms")
        found = dict(zip(("score", "parameters", "flops", "milliseconds"), map(float, best[1:]), strict=True))
        return {"subnets": float(len(rows)), **found}


@torch.no_grad()
def costs(learner: Nested, subnet: Subnet, batch: Batch, repeats: int) -> tuple[int, int, float]:
    """Returns the weights that a sub-network uses, its operations per example, and the milliseconds of a batch."""
    with learner.at(subnet):
        sizes = {} if learner.width is None else learner.width.sizes
        sizes.clear()
        with FlopCounterMode(display=False) as counter:
            learner.predict(batch)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            learner.predict(batch)
            times.append(time.perf_counter() - start)
    examples = len(next(iter(batch.values())))
    return _weights(learner, subnet), counter.get_total_flops() // examples, 1e3 * statistics.median(times)


def _weights(learner: Nested, subnet: Subnet) -> int:
    """Returns the weights of the layers that ran, as far as they are sliced, and all of those that never are."""
    sizes = {} if learner.width is None else learner.width.sizes
    skipped: set[nn.Module] = set()
    if subnet.depth is not None:
        blocks = learner.model.blocks
        ran = {m for block in blocks[: subnet.depth] for m in block.modules()}  # a looped block may come again
        skipped = {m for block in blocks[subnet.depth :] for m in block.modules()} - ran
    total = 0
    for module in learner.model.modules():
        if module in sizes:
            total += sizes[module]
        elif module not in skipped:
            total += sum(p.numel() for p in module.parameters(recurse=False))
    return total
