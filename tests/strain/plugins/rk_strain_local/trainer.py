from __future__ import annotations

from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from rk import Runtime
from rk.fields import ClassificationBatch, LogitsOutputs
from rk.protocols import Model, Objective, Optimizer


class HasBlocks(Model, Protocol):
    """A model whose hidden layers can be called one by one."""

    blocks: nn.ModuleList


class LocalLearner(nn.Module):
    """The model's blocks, and the read-outs that exist for this way of learning only."""

    def __init__(self, model: nn.Module, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.model = model
        widths, hidden = [], torch.zeros(1, num_features)
        with torch.no_grad():
            for block in model.blocks:
                hidden = block(hidden)
                widths.append(hidden.shape[1])
        self.readouts = nn.ModuleList(nn.Linear(width, num_classes) for width in widths)

    def forward(self, batch: ClassificationBatch) -> Objective:
        targets = batch["targets"]
        losses = {}
        for i, logits in enumerate(self._logits(batch)):
            losses[f"block{i}"] = (functional.cross_entropy(logits, targets, reduction="sum"), len(targets))
        return losses

    def predict(self, batch: ClassificationBatch) -> LogitsOutputs:
        *_, last = self._logits(batch)
        return {"logits": last}

    def variants(self) -> dict:
        return {"first": lambda batch: {"logits": next(self._logits(batch))}}

    def _logits(self, batch):
        hidden = batch["inputs"].flatten(1)
        for block, readout in zip(self.model.blocks, self.readouts, strict=True):
            hidden = block(hidden.detach())
            yield readout(hidden)


class LocalBlocks:
    """Local learning over any model with `blocks`.

    Args:
        optimizer: One for all blocks.
        num_features: A fact.
        num_classes: A fact.
    """

    def __init__(self, optimizer: Optimizer, num_features: int, num_classes: int) -> None:
        self.factory = optimizer
        self.sizes = (num_features, num_classes)

    def setup(self, *, model: HasBlocks, runtime: Runtime) -> LocalLearner:
        learner = LocalLearner(model, *self.sizes)
        self.runtime = runtime
        self.objective = runtime.setup(learner)
        used = [*model.blocks.parameters(), *learner.readouts.parameters()]
        self.optimizer = runtime.optimizer(self.factory, used)
        return learner

    def step(self, batch: ClassificationBatch) -> dict[str, torch.Tensor]:
        logs = self.runtime.backward(self.objective(batch))
        self.runtime.update(self.optimizer)
        return logs
