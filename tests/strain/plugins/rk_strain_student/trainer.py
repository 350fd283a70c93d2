from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import nn
from torch.nn import functional

from rk import Data, Model, Objective, Optimizer, Run, Runtime, Training
from rk.fields import ClassificationBatch, LogitsOutputs


class Student(nn.Module):
    """A model behind a normaliser that is fitted once."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, batch: ClassificationBatch) -> Objective:
        loss = functional.cross_entropy(self.predict(batch)["logits"], batch["targets"], reduction="sum")
        return loss, len(batch["targets"])

    def predict(self, batch: ClassificationBatch) -> LogitsOutputs:
        return self.model(inputs=batch["inputs"] - self.mean)


class Distill:
    """Learns the answers of a trained run.

    Args:
        teacher: The run; only training needs it.
        optimizer: The optimizer.
        temperature: Softens the answers.
    """

    def __init__(
        self, teacher: Training[Run], optimizer: Optimizer, temperature: Annotated[float, Gt(0)] = 2.0
    ) -> None:
        self.teacher = teacher
        self.factory = optimizer
        self.temperature = temperature

    def setup(self, *, model: Model, runtime: Runtime) -> Student:
        self.runtime = runtime
        self.learner = Student(model)
        self.objective = runtime.setup(self.learner)
        self.optimizer = runtime.optimizer(self.factory, self.learner.parameters())
        return self.learner

    def begin(self, *, data: Data, runtime: Runtime) -> None:
        batches = [batch["inputs"] for batch in runtime.batches(data, "train", limit=3)]
        self.learner.mean.copy_(torch.cat(batches).mean())

    def step(self, batch: ClassificationBatch) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            wanted = self.teacher.learner.predict(batch)["logits"] / self.temperature
        given = self.objective.predict(batch)["logits"] / self.temperature
        loss = functional.kl_div(given.log_softmax(1), wanted.log_softmax(1), reduction="sum", log_target=True)
        logs = self.runtime.backward((loss, len(wanted)))
        self.runtime.update(self.optimizer)
        return logs
