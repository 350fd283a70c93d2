from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rk import Runtime
from rk.fields import ClassificationBatch, LogitsOutputs
from rk.protocols import Data


class KernelLearner(nn.Module):
    """The training inputs and their coefficients: both known only when the data has been seen."""

    lazy_buffers = ("inputs", "coefficients")

    def __init__(self, bandwidth: float) -> None:
        super().__init__()
        self.bandwidth = bandwidth
        self.register_buffer("inputs", torch.empty(0, 0))
        self.register_buffer("coefficients", torch.empty(0, 0))

    def predict(self, batch: ClassificationBatch) -> LogitsOutputs:
        return {"logits": self.kernel(batch["inputs"].flatten(1), self.inputs) @ self.coefficients}

    def kernel(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * self.bandwidth**2))


class KernelRidge:
    """Kernel ridge regression onto one-hot classes.

    Args:
        num_classes: A fact.
        bandwidth: Of the Gaussian kernel.
        ridge: Added to the diagonal.
    """

    def __init__(self, num_classes: int, bandwidth: float = 1.5, ridge: float = 1e-3) -> None:
        self.num_classes = num_classes
        self.bandwidth = bandwidth
        self.ridge = ridge
        self.seen: list[tuple[Tensor, Tensor]] = []

    def setup(self, *, data: Data, runtime: Runtime) -> KernelLearner:
        self.data = data
        self.learner = KernelLearner(self.bandwidth)
        return runtime.setup(self.learner)

    def step(self, batch: ClassificationBatch) -> dict[str, Tensor] | None:
        if len(self.seen) == self.data.batches("train"):
            return None
        self.seen.append((batch["inputs"].flatten(1), batch["targets"]))
        return {}

    def finish(self) -> None:
        inputs = torch.cat([x for x, _ in self.seen])
        targets = functional.one_hot(torch.cat([y for _, y in self.seen]), self.num_classes).float()
        gram = self.learner.kernel(inputs, inputs) + self.ridge * torch.eye(len(inputs))
        self.learner.inputs = inputs
        self.learner.coefficients = torch.linalg.solve(gram, targets)

    def state_dict(self) -> dict:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict) -> None:
        self.seen = list(state["seen"])
