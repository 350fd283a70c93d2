"""The trainer `curriculum`: backpropagation on data that get harder, at a fixed pace or when they are mastered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from rk import Runtime, UserError
from rk.authoring import evaluating
from rk.binding import Bound
from rk.builtin.backprop import Backprop, Supervised
from rk.errors import suggest
from rk.protocols import Batch, Data, Loss, Model, Optimizer

UNREACHED = 2**40
"""Index of a batch that training never reaches: generated data has new examples there."""


class Curriculum(Backprop):
    """Gradient descent on stage after stage of the data: `scheduled` data, `n-dms`, `n-parity`, or others with stages.

    After every `stage_steps` updates, the metrics of the data are measured on batches of the current stage. Where all
    of `metrics` reach the threshold, the next stage begins. Without a threshold, it begins in any case. After its last
    stage the data stays as it is. The runtime's ``val`` is stage 0 of the data throughout.

    The run ends with ``run/stages``, how many stages were mastered, and, where the data gives its stages a level,
    ``run/level``: that of the last one mastered, 0 for none, and ``run/updates-K``, the updates until level K was.

    Args:
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.
        stage_steps: Updates between two measurements.
        threshold: What each metric must reach, of 1; null: a stage lasts `stage_steps`.
        metrics: Which of the data's metrics must reach it. They must be functions of fields.
        split: The split that is measured, at the current stage: `train`, from batches that training never reaches; or
            another one, of data in which it follows the stage.
        batches: How many of its batches.

    Examples:
        trainer: {name: curriculum, optimizer: adam, threshold: 0.98, stage_steps: 100}
    """

    def __init__(
        self,
        optimizer: Optimizer | dict[str, Optimizer],
        stage_steps: Annotated[int, Ge(1)] = 100,
        threshold: Annotated[float, Gt(0), Le(1)] | None = 0.98,
        metrics: tuple[str, ...] = ("accuracy",),
        split: str = "train",
        batches: Annotated[int, Ge(1)] = 5,
    ) -> None:
        super().__init__(optimizer)
        self.stage_steps = stage_steps
        self.threshold = threshold
        self.metrics = metrics
        self.split = split
        self.batches = batches
        self.stage = 0
        self.seen = 0
        self.mastered: dict[int, int] = {}
        """Stage -> updates until it was mastered."""

    def setup(  # type: ignore[override]  # more than backprop needs: the data, for its metrics
        self, *, model: Model, loss: Loss, data: Data, runtime: Runtime
    ) -> Supervised:
        """Builds the learner.

        Raises:
            UserError: When the data has no such metric or split.
        """
        known = data.metrics
        for name in self.metrics if self.threshold is not None else ():
            if name not in known:
                raise UserError(f"metrics: the data has no metric {name!r}", suggest(name, sorted(known), "it has"))
            if hasattr(known[name], "update"):
                raise UserError(f"metrics: {name} must be a function of fields, got an object with update()")
        self.data = data
        self.learner = super().setup(model=model, loss=loss, runtime=runtime)
        return self.learner

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """Learns from a micro-batch of the current stage; measures it, where it is time to."""
        logs = super().step(batch)
        self.seen += 1
        updates, rest = divmod(self.seen, self.runtime.accumulate)
        if rest == 0 and updates % self.stage_steps == 0:
            last = getattr(self.data, "stages", None)
            if self.threshold is None or min(self.measure()) >= self.threshold:
                self.mastered.setdefault(self.stage, updates)
                if last is None or self.stage + 1 < last:
                    self.stage += 1
        return {**logs, "stage": torch.tensor(float(self.stage))}

    def measure(self) -> list[float]:
        """Returns each of `metrics` on batches of the current stage, in eval mode."""
        sums = [[0.0, 0.0] for _ in self.metrics]
        calls = [_called(self.data.metrics[name]) for name in self.metrics]
        first = UNREACHED + self.seen if self.split == "train" else 0
        for i in range(first, first + self.batches):
            batch = self.data.batch(self.split, i, self.stage)
            batch = {k: v.to(self.runtime.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
            with evaluating(self.learner, i), self.runtime.autocast():
                fields = {**batch, **self.learner.predict(batch)}
            for entry, call in zip(sums, calls, strict=True):
                right, count = call(fields)
                entry[0] += float(right)
                entry[1] += float(count)
        return [right / max(count, 1.0) for right, count in sums]

    def results(self) -> Mapping[str, float]:
        """Returns how many stages were mastered, and which levels, where the data has some."""
        level = getattr(self.data, "level", None)
        found = {"stages": float(len(self.mastered))}
        if callable(level):
            levels = {float(level(stage)): updates for stage, updates in self.mastered.items()}
            found["level"] = max(levels, default=0.0)
            found |= {f"updates-{name:g}": float(updates) for name, updates in levels.items()}
        return found

    def state_dict(self) -> dict[str, Any]:
        mastered = {str(stage): updates for stage, updates in self.mastered.items()}
        return {"seen": self.seen, "stage": self.stage, "mastered": mastered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.stage = state["seen"], state["stage"]
        self.mastered = {int(stage): updates for stage, updates in state["mastered"].items()}


def _called(metric: Any) -> Bound:
    """Returns a metric, a function or a class without required parameters, as what takes all fields."""
    made: Any = metric() if isinstance(metric, type) else metric
    return Bound(made)
