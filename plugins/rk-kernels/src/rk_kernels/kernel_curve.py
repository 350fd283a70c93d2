"""The search `kernel-curve`: the learning curve of a kernel at many sizes, from one kernel matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from rk import Runtime, UserError
from rk.protocols import Data
from rk_kernels.classifier import KernelValues
from rk_kernels.curves import Curve, draw_curves
from rk_kernels.kernel import Kernel
from rk_kernels.linalg import kernel_regression

FILE = "kernel-curve.csv"


class KernelCurve:
    """Errors of kernel ridge regression at several numbers of training rows, and the exponent of their fall.

    The kernel matrix of all rows is computed once: that of the first n rows is a block of it. Each step is one n. The
    error is the mean square over the rows of a split. Where a target has several numbers, each has a curve; the
    interval of the exponent, with a probability of 90 %, is a bootstrap over them. Writes ``kernel-curve.csv`` and
    ``figures/kernel-curve.png``. The run answers as the regression on the most rows.

    Its results, ``run/NAME``: `exponent`, `exponent-low` and `exponent-high` (with one target: by the fit's residuals),
    and `error-N` for each N.

    Args:
        kernel: The kernel; nothing in it is learned.
        sizes: Numbers of training rows, two at least; the data must have the largest.
        ridge: Added to the diagonal, relative to its mean.
        split: Whose errors are measured.
        expected: The exponent that a theory predicts, drawn beside the fit; null for none.

    Examples:
        search: {name: kernel-curve, kernel: {name: mlp-kernel, kind: ntk}, sizes: [64, 128, 256]}
    """

    defaults = ("fit.log_every=1",)

    def __init__(
        self,
        kernel: Kernel,
        sizes: tuple[Annotated[int, Ge(1)], ...] = (64, 128, 256, 512),
        ridge: Annotated[float, Ge(0)] = 0.0,
        split: str = "test",
        expected: float | None = None,
    ) -> None:
        if len(set(sizes)) < 2:
            raise ValueError("sizes must be two different numbers at least: an exponent is a slope")
        self.kernel = kernel
        self.sizes = tuple(sorted(set(sizes)))
        self.ridge = ridge
        self.split = split
        self.expected = expected
        self.found: list[list[float]] = []
        self.total_steps = len(self.sizes)
        self._rows: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None = None

    def setup(self, *, data: Data, runtime: Runtime) -> KernelValues:
        self.data = data
        self.runtime = runtime
        for parameter in self.kernel.parameters():
            parameter.requires_grad_(False)
        self.learner = KernelValues(self.kernel, 1)
        runtime.setup(self.learner)
        return self.learner

    @torch.no_grad()
    def step(self) -> dict[str, Tensor] | None:
        """Learns from the next number of rows; returns it and the error."""
        if len(self.found) == len(self.sizes):
            return None
        inputs, targets, gram, cross, wanted = self._matrices()
        n = self.sizes[len(self.found)]
        block = gram[:n, :n]
        coefficients = kernel_regression(block, targets[:n], self.ridge * float(block.diagonal().mean()))
        errors = (cross[:, :n] @ coefficients - wanted).square().mean(0)
        self.found.append(errors.tolist())
        self.learner.inputs, self.learner.coefficients = inputs[:n], coefficients
        return {"rows": torch.tensor(float(n)), "error": errors.mean()}

    def finish(self) -> None:
        """Writes the table and the figure."""
        if self.runtime.folder is None or not self.runtime.is_main or len(self.found) < len(self.sizes):
            return
        curve = self._curve()
        curve.write(self.runtime.folder / FILE, "rows", "error", "target")
        figures = self.runtime.folder / "figures"
        figures.mkdir(exist_ok=True)
        draw_curves({"": curve}, "training rows", "mean squared error", figures / "kernel-curve.png")

    def results(self) -> Mapping[str, float]:
        """Returns the numbers that the class names."""
        if len(self.found) < len(self.sizes):
            return {}
        curve = self._curve()
        law = curve.law
        errors = {f"error-{n}": curve.mean(n) for n in self.sizes}
        return {"exponent": law.exponent, "exponent-low": law.low, "exponent-high": law.high, **errors}

    def summary(self) -> str:
        """Returns the exponent with its interval, in a line."""
        if len(self.found) < len(self.sizes):
            return "the curve is not complete"
        law = self._curve().law
        theory = "" if self.expected is None else f"; theory: {self.expected:.3f}"
        return f"exponent {law.exponent:.3f} ({law.low:.3f} to {law.high:.3f}){theory}"

    def _curve(self) -> Curve:
        return Curve(dict(zip(self.sizes, self.found, strict=True)), self.expected)

    def _matrices(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Returns inputs, targets and kernel matrix of the training rows, that of the tests with them, and targets."""
        if self._rows is None:
            inputs, targets = self._read("train", self.sizes[-1])
            if len(inputs) < self.sizes[-1]:
                raise UserError(
                    f"search.sizes must be at most the {len(inputs)} training rows, got {self.sizes[-1]}",
                    "give the data more training rows, or smaller sizes",
                )
            others, wanted = self._read(self.split)
            self._rows = inputs, targets, self.kernel(inputs), self.kernel(others, inputs), wanted
        return self._rows

    def _read(self, split: str, limit: int | None = None) -> tuple[Tensor, Tensor]:
        """Returns the first rows of one pass over a split, flat, in float64."""
        inputs, targets = [], []
        for batch in self.runtime.batches(self.data, split):
            if not batch["targets"].is_floating_point():
                raise UserError("kernel-curve learns real numbers, but the targets are classes")
            inputs.append(batch["inputs"].flatten(1).double())
            targets.append(batch["targets"].double().reshape(len(batch["targets"]), -1))
            if limit is not None and sum(map(len, inputs)) >= limit:
                break
        return torch.cat(inputs)[:limit], torch.cat(targets)[:limit]

    def state_dict(self) -> dict[str, Any]:
        return {"found": [list(errors) for errors in self.found]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.found = [list(errors) for errors in state["found"]]
