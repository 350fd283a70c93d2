"""The trainer `kernel-regression`: classes by regression onto their indicators, in closed form."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional

from rk import Runtime, UserError
from rk.fields import ClassificationBatch, LogitsOutputs
from rk.protocols import Data
from rk_kernels.kernel import Kernel
from rk_kernels.linalg import kernel_regression


class KernelMachine(nn.Module):
    """The training inputs and a coefficient for each of them and each class.

    Args:
        kernel: Compares an input with those of the training set.
        num_classes: Classes.
    """

    lazy_buffers = ("inputs", "coefficients")
    inputs: Tensor
    coefficients: Tensor

    def __init__(self, kernel: Kernel, num_classes: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.num_classes = num_classes
        for name in self.lazy_buffers:
            self.register_buffer(name, torch.empty(0, 0, dtype=torch.float64))

    def predict(self, batch: ClassificationBatch) -> LogitsOutputs:
        """Returns scores of (batch, classes): about 1 - 1/classes for the class, -1/classes for the others.

        Before the coefficients are solved for, all scores are 0.
        """
        inputs = batch["inputs"].flatten(1)
        if not self.coefficients.numel():
            return {"logits": self.coefficients.new_zeros(inputs.shape[0], self.num_classes)}
        return {"logits": self.kernel(inputs, self.inputs) @ self.coefficients}


class KernelRegression:
    """Kernel ridge regression onto centred one-hot classes: with an NTK, what gradient descent on squares ends with.

    Args:
        kernel: The kernel; its own parameters are not learned.
        num_classes: Classes; a fact of the data.
        ridge: Added to the diagonal, relative to its mean.

    Examples:
        trainer: {name: kernel-regression, kernel: {name: mlp-kernel, kind: ntk}, ridge: 0.01}
    """

    def __init__(self, kernel: Kernel, num_classes: int, ridge: Annotated[float, Ge(0)] = 1e-3) -> None:
        self.kernel = kernel
        self.num_classes = num_classes
        self.ridge = ridge
        self.seen: list[tuple[Tensor, Tensor]] = []

    def setup(self, *, data: Data, runtime: Runtime) -> KernelMachine:
        if runtime.world > 1:
            raise UserError("kernel-regression factorises one matrix: it runs in one process", "fit.devices=1")
        self.data = data
        for parameter in self.kernel.parameters():
            parameter.requires_grad_(False)
        self.learner = KernelMachine(self.kernel, self.num_classes)
        runtime.setup(self.learner)
        return self.learner

    def step(self, batch: ClassificationBatch) -> dict[str, Tensor] | None:
        """Takes the rows of one batch; None when the pass is over."""
        total = self.data.batches("train")
        if total is None:
            raise UserError("kernel-regression takes all training rows, but the training split has no end")
        if len(self.seen) >= total:
            return None
        self.seen.append((batch["inputs"].flatten(1), batch["targets"]))
        return {}

    @torch.no_grad()
    def finish(self) -> None:
        """Solves for the coefficients."""
        inputs = torch.cat([x for x, _ in self.seen]).double()
        targets = functional.one_hot(torch.cat([y for _, y in self.seen]), self.num_classes).double()
        gram = self.kernel(inputs)
        ridge = self.ridge * float(gram.diagonal().mean())
        self.learner.inputs = inputs
        self.learner.coefficients = kernel_regression(gram, targets - 1 / self.num_classes, ridge)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = list(state["seen"])
