from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from rk import Runtime
from rk.fields import ClassificationBatch, LogitsOutputs
from rk.protocols import Data
from rk.training import train_inside

WIDEST = 16


class Best(nn.Module):
    """The best student so far, its unused units at zero."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(num_features, WIDEST), nn.Linear(WIDEST, num_classes)
        self.register_buffer("score", torch.tensor(-1.0))
        self.register_buffer("width", torch.tensor(0))

    @torch.no_grad()
    def take(self, student: nn.Module, score: float) -> None:
        hidden, head = student.model.blocks[0][0], student.model.head
        for parameter in self.parameters():
            parameter.zero_()
        self.width.fill_(len(hidden.bias))
        self.score.fill_(score)
        self.hidden.weight[: self.width] = hidden.weight
        self.hidden.bias[: self.width] = hidden.bias
        self.head.weight[:, : self.width] = head.weight
        self.head.bias.copy_(head.bias)

    def predict(self, batch: ClassificationBatch) -> LogitsOutputs:
        return {"logits": self.head(self.hidden(batch["inputs"].flatten(1)).relu())}


class Students:
    """Trains students of random widths, and keeps the best; the run of its first units alone is derived from it.

    Args:
        num_features: A fact.
        num_classes: A fact.
        n_trials: Students to train.
        interrupt_in: The student whose training presses Ctrl-C, when the environment variable is set.
    """

    def __init__(
        self, num_features: int, num_classes: int, n_trials: Annotated[int, Ge(1)] = 10, interrupt_in: int = 4
    ) -> None:
        self.sizes = (num_features, num_classes)
        self.n_trials, self.interrupt_in = n_trials, interrupt_in
        self.tried = 0
        self.best = ""

    def setup(self, *, data: Data, runtime: Runtime) -> Best:
        self.runtime = runtime
        self.learner = Best(*self.sizes)
        return runtime.setup(self.learner)

    def step(self) -> dict[str, Tensor] | None:
        if self.tried == self.n_trials:
            return None
        width = int(torch.randint(2, WIDEST + 1, ()))
        at = 9 if self.tried == self.interrupt_in else 10_000
        changes = (f"model.hidden_sizes=[{width}]", f"callbacks=[{{name: interrupt, at: {at}}}]")
        inner = train_inside("strain-students/student", changes, name=f"student-{self.tried}", within=self.runtime)
        score = inner.metrics["val/accuracy"]
        if score > self.learner.score:
            self.learner.take(inner.learner, score)
            self.best = f"student-{self.tried}"
        self.tried += 1
        return {"accuracy": torch.tensor(score), "width": torch.tensor(float(width))}

    def results(self) -> dict[str, float]:
        return {"width": float(self.learner.width)}

    def finish(self) -> None:
        changes = ("model.hidden_sizes=[2]", "fit.max_steps=1")
        small = train_inside("strain-students/student", changes, name="two-units", within=self.runtime).run
        weights = {
            "model.blocks.0.0.weight": self.learner.hidden.weight[:2],
            "model.blocks.0.0.bias": self.learner.hidden.bias[:2],
        }
        weights |= {"model.head.weight": self.learner.head.weight[:, :2], "model.head.bias": self.learner.head.bias}
        if not (self.runtime.folder / "derived").exists():
            small.derive({"fit.max_steps": 2}, weights, self.runtime.folder / "derived")

    def state_dict(self) -> dict[str, object]:
        return {"tried": self.tried, "best": self.best}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.tried, self.best = state["tried"], state["best"]
