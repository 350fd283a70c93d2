"""The trainers `kernel-regression` and `kernel-ridge`: classes and real numbers by regression in closed form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional

from rk import Runtime, UserError
from rk.fields import ClassificationBatch, InputsOnly, LogitsOutputs, RegressionBatch, ValuesOutputs
from rk.protocols import Data
from rk_kernels.kernel import Kernel
from rk_kernels.linalg import kernel_regression


class KernelMachine(nn.Module):
    """The training inputs and a coefficient for each of them and each number that is regressed onto.

    Args:
        kernel: Compares an input with those of the training set.
        num_outputs: Numbers for each example.
    """

    lazy_buffers: tuple[str, ...] = ("inputs", "coefficients")
    inputs: Tensor
    coefficients: Tensor

    def __init__(self, kernel: Kernel, num_outputs: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.num_outputs = num_outputs
        for name in self.lazy_buffers:
            self.register_buffer(name, torch.empty(0, 0, dtype=torch.float64))

    def answer(self, inputs: Tensor) -> Tensor:
        """Returns (batch, outputs); zeros before the coefficients are solved for."""
        inputs = inputs.flatten(1)
        if not self.coefficients.numel():
            return self.coefficients.new_zeros(inputs.shape[0], self.num_outputs)
        return self.kernel(inputs, self.inputs) @ self.coefficients


class KernelClassifier(KernelMachine):
    """Scores for each class."""

    def predict(self, batch: InputsOnly) -> LogitsOutputs:
        """Returns scores of (batch, classes): about 1 - 1/classes for the class, -1/classes for the others."""
        return {"logits": self.answer(batch["inputs"])}


class KernelValues(KernelMachine):
    """A real number for each output."""

    def predict(self, batch: InputsOnly) -> ValuesOutputs:
        """Returns (batch, outputs)."""
        return {"values": self.answer(batch["inputs"])}


class _KernelTrainer(ABC):
    """One pass takes the training rows; then a system of equations is solved.

    Args:
        kernel: The kernel; its own parameters are not learned.
        ridge: Added to the diagonal, relative to its mean.
    """

    def __init__(self, kernel: Kernel, ridge: float) -> None:
        self.kernel = kernel
        self.ridge = ridge
        self.seen: list[tuple[Tensor, Tensor]] = []

    @abstractmethod
    def _regressed(self, targets: Tensor) -> Tensor:
        """Returns what is regressed onto, (n, outputs) in float64."""

    def _begin(self, data: Data, runtime: Runtime) -> None:
        if runtime.world > 1:
            raise UserError("a kernel trainer factorises one matrix: it runs in one process", "fit.devices=1")
        self.data = data
        for parameter in self.kernel.parameters():
            parameter.requires_grad_(False)

    def _take(self, batch: Mapping[str, Any]) -> dict[str, Tensor] | None:
        total = self.data.batches("train")
        if total is None:
            raise UserError("a kernel trainer takes all training rows, but the training split has no end")
        if len(self.seen) >= total:
            return None
        self.seen.append((batch["inputs"].flatten(1), batch["targets"]))
        return {}

    def _solve(self, learner: KernelMachine) -> None:
        inputs = torch.cat([x for x, _ in self.seen]).double()
        targets = self._regressed(torch.cat([y for _, y in self.seen]))
        gram = self.kernel(inputs)
        learner.inputs = inputs
        learner.coefficients = kernel_regression(gram, targets, self.ridge * float(gram.diagonal().mean()))

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = list(state["seen"])


class KernelRegression(_KernelTrainer):
    """Kernel ridge regression onto centred one-hot classes: with an NTK, what gradient descent on squares ends with.

    Args:
        kernel: The kernel; its own parameters are not learned.
        num_classes: Classes; a fact of the data.
        ridge: Added to the diagonal, relative to its mean.

    Examples:
        trainer: {name: kernel-regression, kernel: {name: mlp-kernel, kind: ntk}, ridge: 0.01}
    """

    def __init__(self, kernel: Kernel, num_classes: int, ridge: Annotated[float, Ge(0)] = 1e-3) -> None:
        super().__init__(kernel, ridge)
        self.num_classes = num_classes

    def setup(self, *, data: Data, runtime: Runtime) -> KernelClassifier:
        self._begin(data, runtime)
        self.learner = KernelClassifier(self.kernel, self.num_classes)
        runtime.setup(self.learner)
        return self.learner

    def step(self, batch: ClassificationBatch) -> dict[str, Tensor] | None:
        """Takes the rows of one batch; None when the pass is over."""
        return self._take(batch)

    @torch.no_grad()
    def finish(self) -> None:
        """Solves for the coefficients."""
        self._solve(self.learner)

    def _regressed(self, targets: Tensor) -> Tensor:
        return functional.one_hot(targets, self.num_classes).double() - 1 / self.num_classes


class KernelRidge(_KernelTrainer):
    """Kernel ridge regression onto real numbers, which are not centred: without ridge, the mean of a process.

    Args:
        kernel: The kernel; its own parameters are not learned.
        num_outputs: Numbers of each target.
        ridge: Added to the diagonal, relative to its mean.

    Examples:
        trainer: {name: kernel-ridge, kernel: {name: hierarchical-kernel, filter_sizes: [2, 2]}}
    """

    def __init__(
        self, kernel: Kernel, num_outputs: Annotated[int, Ge(1)] = 1, ridge: Annotated[float, Ge(0)] = 0.0
    ) -> None:
        super().__init__(kernel, ridge)
        self.num_outputs = num_outputs

    def setup(self, *, data: Data, runtime: Runtime) -> KernelValues:
        self._begin(data, runtime)
        self.learner = KernelValues(self.kernel, self.num_outputs)
        runtime.setup(self.learner)
        return self.learner

    def step(self, batch: RegressionBatch) -> dict[str, Tensor] | None:
        """Takes the rows of one batch; None when the pass is over."""
        return self._take(batch)

    @torch.no_grad()
    def finish(self) -> None:
        """Solves for the coefficients."""
        self._solve(self.learner)

    def _regressed(self, targets: Tensor) -> Tensor:
        return targets.double().reshape(len(targets), -1)
