"""Supervised learning by backpropagation: the trainer that most recipes use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rk.binding import Bound
from rk.capabilities import SupportsPredictFields, SupportsWatch, supports
from rk.fit.returns import check_objective, check_outputs
from rk.fit.runtime import Runtime
from rk.protocols import Batch, Loss, Model, Objective, Optimizer, Outputs
from rk.values import Fields

__all__ = ["Answering", "Backprop", "Supervised"]


class Supervised(nn.Module):
    """A model and its loss as one learner.

    Args:
        model: Takes batch fields, returns outputs.
        loss: Takes fields of both. A loss that is a module has its weights here too; one with ``watch`` is given the
            model.
    """

    def __init__(self, model: Model, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        if supports(loss, SupportsWatch):
            loss.watch(model)
        self._forward = Bound(model.forward, call=model)
        self._predict = Bound(model.predict) if supports(model, SupportsPredictFields) else None
        self._loss = Bound(getattr(loss, "forward", loss.__call__), call=loss)

    def forward(self, batch: Batch) -> Objective:
        objective: Objective = self._loss(self._joined(batch, self._forward(batch)))
        return objective

    def predict(self, batch: Batch) -> Outputs:
        outputs: Outputs = self._forward(batch) if self._predict is None else self._predict(batch)
        return outputs

    def evaluate(self, batch: Batch) -> tuple[Objective, Outputs]:
        """Returns both, with one forward pass where the model answers as it trains."""
        outputs = self._forward(batch)
        objective = self._loss(self._joined(batch, outputs))
        return objective, outputs if self._predict is None else self._predict(batch)

    def _joined(self, batch: Batch, outputs: Outputs) -> Fields:
        try:
            return {**batch, **outputs}
        except TypeError:
            check_outputs(self.model, outputs, "forward")
            raise


class Answering(nn.Module):
    """A model alone as a learner, without an objective: its weights are solved for, or left as they are.

    Args:
        model: Takes batch fields, returns outputs, which are the answer.
    """

    def __init__(self, model: Model | nn.Module) -> None:
        super().__init__()
        self.model = model
        self._call = Bound(model.forward, call=model)

    def predict(self, batch: Batch) -> Outputs:
        """Returns what the model gives."""
        outputs: Outputs = self._call(batch)
        return outputs


class Backprop:
    """Gradient descent on the loss.

    Args:
        optimizer: The optimizer and its schedule. Or several, by patterns of the names of what they train:
            ``{"embedding.*": sparse-adam, "*": adam}``; the first pattern that matches counts.

    Examples:
        trainer: {name: backprop, optimizer: {name: adam, lr: 3e-3}}
    """

    loss: object = None
    """The component that messages about the objective name; a class that extends this one need not set it."""
    checked = False

    def __init__(self, optimizer: Optimizer | dict[str, Optimizer]) -> None:
        self.factory = optimizer

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """The optimizer, where there is one for all: what classes that extend this one may set in `setup`."""
        return self.optimizers[0] if self.optimizers else None

    @optimizer.setter
    def optimizer(self, optimizer: torch.optim.Optimizer | None) -> None:
        self.optimizers: list[torch.optim.Optimizer] = [] if optimizer is None else [optimizer]

    def setup(self, *, model: Model, loss: Loss, runtime: Runtime) -> Supervised:
        learner = Supervised(model, loss)
        self.runtime, self.loss = runtime, loss
        self.objective = runtime.setup(learner)
        self.optimizers = runtime.optimizers(self.factory, learner)
        return learner

    def step(self, batch: Batch) -> dict[str, Tensor]:
        objective = self.objective(batch)
        if not self.checked:  # so that the error names the loss
            self._check(objective)
            self.checked = True
        try:
            logs = self.runtime.backward(objective)
        except Exception:
            self._check(objective)
            raise
        self.runtime.update(*self.optimizers)
        return logs

    def _check(self, objective: object) -> None:
        """Raises `RunFailed` for an invalid objective, and names the loss."""
        check_objective(self if self.loss is None else self.loss, objective, "__call__")
