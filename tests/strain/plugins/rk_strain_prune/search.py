from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from rk import Run, Runtime
from rk.fields import ClassificationBatch, LogitsOutputs
from rk.protocols import Data


class Pruned(nn.Module):
    """A perceptron, some of whose last hidden units are silenced."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("kept", torch.ones(model.head.in_features))

    def predict(self, batch: ClassificationBatch) -> LogitsOutputs:
        hidden = batch["inputs"].flatten(1)
        for block in self.model.blocks:
            hidden = block(hidden)
        return {"logits": self.model.head(hidden * self.kept)}


class Prune:
    """Silences random units one by one, and keeps each silence that costs no accuracy on the validation split.

    Args:
        run: A run of an mlp.
        n_trials: Units to try.
        in_order: Tries the units one after the other.
    """

    defaults = ("fit.log_every=4",)
    resumable = ("n_trials",)

    def __init__(self, run: Run, n_trials: Annotated[int, Ge(1)] = 20, in_order: bool = False) -> None:
        self.run = run
        self.n_trials = n_trials
        self.in_order = in_order
        self.tried = 0
        self.accuracy = -1.0

    def setup(self, *, data: Data, runtime: Runtime) -> Pruned:
        self.learner = Pruned(self.run.learner.model)
        return runtime.setup(self.learner)

    def step(self) -> dict[str, Tensor] | None:
        if self.tried == self.n_trials:
            return None
        self.tried += 1
        units = len(self.learner.kept)
        unit = torch.tensor((self.tried - 1) % units) if self.in_order else torch.randint(units, ())
        before = self.learner.kept[unit].clone()
        self.learner.kept[unit] = 0
        accuracy = self._measure()
        if accuracy < self.accuracy:
            self.learner.kept[unit] = before
        self.accuracy = max(self.accuracy, accuracy)
        return {"accuracy": torch.tensor(accuracy), "kept": self.learner.kept.sum()}

    @torch.no_grad()
    def _measure(self) -> float:
        hits = total = 0
        for batch in self.run.batches("val"):
            hits += int((self.learner.predict(batch)["logits"].argmax(-1) == batch["targets"]).sum())
            total += len(batch["targets"])
        return hits / total

    @property
    def total_steps(self) -> int:
        return self.n_trials

    def summary(self) -> str:
        return f"{int(self.learner.kept.sum())} units are left after {self.tried} trials"

    def state_dict(self) -> dict:
        return {"tried": self.tried, "accuracy": self.accuracy}

    def load_state_dict(self, state: dict) -> None:
        self.tried, self.accuracy = state["tried"], state["accuracy"]
