from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from rk import Data, Loss, Model, Optimizer, Runtime
from rk.builtin.backprop import Supervised
from rk.protocols import Batch


@dataclass
class Stage:
    """One task.

    Args:
        classes: Its classes.
        steps: How long it is learned.
        optimizer: A fresh one for the stage.
        frozen: Parts that do not learn.
    """

    classes: list[int]
    steps: Annotated[int, Ge(1)]
    optimizer: Optimizer
    frozen: list[str] = field(default_factory=list)


class InStages:
    """Learns one task after the other.

    Args:
        stages: The tasks.
    """

    lower_is_better = ("forgetting",)

    def __init__(self, stages: list[Stage]) -> None:
        self.stages = stages
        self.at = -1
        self.scores: list[float] = []

    def setup(self, *, model: Model, loss: Loss, data: Data, runtime: Runtime) -> nn.Module:
        self.data, self.runtime = data, runtime
        self.learner = Supervised(model, loss)
        self.objective = runtime.setup(self.learner)
        self.total_steps = sum(stage.steps for stage in self.stages)
        self.optimizer: torch.optim.Optimizer | None = None
        return self.learner

    def step(self, batch: Batch) -> dict[str, Tensor] | None:
        done = self.runtime.step
        if done == self.total_steps:
            return None
        now = next(i for i in range(len(self.stages)) if done < sum(s.steps for s in self.stages[: i + 1]))
        if now != self.at or self.optimizer is None:
            self._enter(now)
        kept = torch.isin(batch["targets"], torch.tensor(self.stages[now].classes))
        if not kept.any():
            return {}
        logs = self.runtime.backward(self.objective({k: v[kept] for k, v in batch.items()}))
        self.runtime.update(self.optimizer)
        return logs

    def _enter(self, now: int) -> None:
        if now > max(self.at, 0):
            self.scores.append(self._score(0))
        self.at = now
        stage = self.stages[now]
        trained = [p for n, p in self.learner.named_parameters() if not any(part in n for part in stage.frozen)]
        self.optimizer = self.runtime.optimizer(stage.optimizer, trained, name=f"stage-{now}", updates=stage.steps)

    @torch.no_grad()
    def _score(self, task: int) -> float:
        right = count = 0
        for batch in self.runtime.batches(self.data, "val"):
            kept = torch.isin(batch["targets"], torch.tensor(self.stages[task].classes))
            found = self.learner.predict({k: v[kept] for k, v in batch.items()})["logits"].argmax(1)
            right, count = right + int((found == batch["targets"][kept]).sum()), count + int(kept.sum())
        return right / count

    def finish(self) -> None:
        self.scores.append(self._score(0))

    def results(self) -> dict[str, float]:
        return {"forgetting": self.scores[0] - self.scores[-1]}

    def state_dict(self) -> dict[str, object]:
        return {"at": self.at, "scores": self.scores}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.at, self.scores = state["at"], state["scores"]
