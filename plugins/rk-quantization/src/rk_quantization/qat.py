"""The callback `qat`: training with weights that are rounded to few bits in every forward pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from rk import FitContext, UserError
from rk_quantization.grids import Grid, UniformGrid, fit
from rk_quantization.lsq import first_step, step_gradient, straight_through
from rk_quantization.post_training import Row, grid_size, sqnr, total_bits
from rk_quantization.scheme import Clip, Granularity, Layout, Levels, Scheme
from rk_quantization.weights import quantizable

BETAS = (0.9, 0.99)


@dataclass
class Trained:
    """One weight while it is trained.

    Attributes:
        parameter: What the learner computes with: on its levels in every forward and backward pass.
        layout: The weight as a matrix.
        scheme: Its levels.
        master: The weight in full precision, which the optimizer changes.
        step: Learned step sizes of (rows, 1); None where levels are found again after each update.
        moments: Of the step sizes, for Adam.
        rounded: Whether `parameter` is on its levels now.
    """

    parameter: Tensor
    layout: Layout
    scheme: Scheme
    master: Tensor
    step: Tensor | None = None
    moments: Tensor | None = None
    rounded: bool = False

    @property
    def rows(self) -> Tensor:
        """The weight in full precision, as (rows, columns)."""
        return self.layout.rows(self.master)

    def grid(self) -> Grid:
        """Returns the levels of now."""
        if self.step is None:
            return fit(self.rows, self.scheme)
        low, high = self.scheme.limits
        return UniformGrid(self.step, torch.zeros_like(self.step, dtype=torch.int32), low, high)

    def round(self) -> None:
        """Takes the parameter as the new full-precision weight, and rounds it in place."""
        if not self.rounded:
            self.master.copy_(self.parameter)
        self.parameter.copy_(self.layout.weight(self.grid().snap(self.rows)))
        self.rounded = True

    def restore(self) -> None:
        """Puts the full-precision weight back, for the optimizer's update."""
        if self.rounded:
            self.parameter.copy_(self.master)
            self.rounded = False


class QAT:
    """Quantisation-aware training of the weights of any learner.

    After each update, weights are rounded in place to their levels, so every forward pass, validation, checkpoint and
    the finished run has them: fused kernels, tied weights and embeddings too, and no name changes. The optimizer's
    update acts on a copy in full precision, with the gradient at the rounded weights (straight-through estimator) where
    they are not clipped. With `step_size=learned` (LSQ) the distance of the levels is trained too. Copies and step
    sizes are in the checkpoints: a resumed run is bit-equal.

    With `start` near 1, weights are rounded only at the end: post-training quantisation, for comparison.

    Args:
        bits: Bits of a weight.
        levels: `narrow`, `symmetric`, `affine`, `power-of-two`, `codebook`, `ternary` (bits=2), `binary` (bits=1).
        granularity: What shares a scale: the `tensor`, each output `channel`, each `group` of a channel.
        group_size: Weights of a group.
        step_size: `learned` by gradient descent (LSQ; `narrow` and `symmetric` levels), or `range`: found from the
            weights by `clip`.
        clip: How ranges are found where steps are not learned.
        lr: Rate at which step sizes are learned, relative to their size; it falls to 0 over the run.
        start: Share of the run before weights are rounded. At 1, they are rounded after the last step.
        include: Regular expressions of names: only these weights.
        exclude: Regular expressions of names of weights that stay as they are.

    Examples:
        callbacks: [{name: qat, bits: 2}]
    """

    lower_is_better = ("bits", "kilobytes")

    def __init__(
        self,
        bits: Annotated[int, Ge(1), Le(8)] = 4,
        levels: Levels = "narrow",
        granularity: Granularity = "channel",
        group_size: Annotated[int, Ge(1)] = 64,
        step_size: Literal["learned", "range"] = "learned",
        clip: Clip = "min-max",
        lr: Annotated[float, Gt(0)] = 0.01,
        start: Annotated[float, Ge(0), Le(1)] = 0.0,
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
    ) -> None:
        self.scheme = Scheme(bits, levels, granularity, group_size, clip)
        self.learned = step_size == "learned" and levels in ("narrow", "symmetric")
        self.lr, self.start = lr, start
        self.include, self.exclude = include, exclude
        self.weights: dict[str, Trained] = {}
        self.updates = 0
        self._kept: Mapping[str, Any] | None = None

    @torch.no_grad()
    def fit_start(self, fit: FitContext) -> None:
        """Finds the weights; a run that has begun to round them takes its full-precision copies back."""
        self.fit = fit
        total = fit.runtime.total_steps
        if self.start and total is None:
            raise UserError("qat: start is a share of a run whose length is not known", "give fit.max_steps")
        self.begins = 0 if total is None else round(self.start * total)
        self.total = total
        for name, weight in quantizable(fit.learner, self.include, self.exclude).items():
            layout = weight.layout(self.scheme)
            self.weights[name] = Trained(weight.parameter, layout, self.scheme, weight.parameter.detach().clone())
        self.of = {id(w.parameter): w for w in self.weights.values()}
        if self._kept is not None:
            self._take(self._kept)
        elif self.begins == 0:
            self._begin()

    def _begin(self) -> None:
        for weight in self.weights.values():
            weight.master.copy_(weight.parameter)
            if self.learned:
                weight.step = first_step(weight.rows, self.scheme.limits[1])
                weight.moments = weight.step.new_zeros(2, *weight.step.shape)
            weight.round()

    @torch.no_grad()
    def before_clip(self, named: Mapping[str, Tensor]) -> None:
        """Learns the step sizes, and stops gradients where weights are clipped."""
        learned = False
        for parameter in named.values():
            weight = self.of.get(id(parameter))
            if weight is None or not weight.rounded or parameter.grad is None:
                continue
            gradient, rows, grid = weight.layout.rows(parameter.grad), weight.rows, weight.grid()
            if weight.step is not None and isinstance(grid, UniformGrid):
                passed, by_step = step_gradient(gradient, rows, grid)
                self._learn(weight, by_step)
            else:
                passed = straight_through(gradient, rows, grid)
            parameter.grad.copy_(weight.layout.weight(passed))
            learned = True
        self.updates += learned

    def _learn(self, weight: Trained, gradient: Tensor) -> None:
        """Makes an Adam step on the logarithm of the step sizes, which stay positive."""
        assert weight.step is not None and weight.moments is not None
        mean, square = weight.moments
        gradient = gradient * weight.step  # by the logarithm
        mean.lerp_(gradient, 1 - BETAS[0])
        square.lerp_(gradient.square(), 1 - BETAS[1])
        t = self.updates + 1
        change = (mean / (1 - BETAS[0] ** t)) / ((square / (1 - BETAS[1] ** t)).sqrt() + 1e-12)
        left = 1.0 if self.total is None else max(0.0, 1 - self.fit.step / self.total)
        weight.step.mul_(torch.exp(-self.lr * left * change))

    @torch.no_grad()
    def before_update(self, params: list[Tensor]) -> None:
        """Gives the optimizer the full-precision weights."""
        for p in params:
            if (weight := self.of.get(id(p))) is not None:
                weight.restore()

    @torch.no_grad()
    def after_step(self, fit: FitContext) -> None:
        """Rounds the weights."""
        if fit.step < self.begins:
            return
        if not self.begun:
            self._begin()
        for weight in self.weights.values():
            weight.round()

    @property
    def begun(self) -> bool:
        """Whether weights are rounded already."""
        return any(w.rounded or w.step is not None for w in self.weights.values())

    def results(self) -> dict[str, float]:
        """Returns the mean bits, the size when packed, and the least exact weight's signal-to-noise ratio."""
        rows = []
        for name, w in self.weights.items():
            count = len(w.rows)
            scales = 4 * (grid_size(self.scheme, w.rows) if not self.scheme.uniform else count)
            size = math.ceil(w.master.numel() * self.scheme.bits / 8) + scales
            noise = sqnr(w.master, w.parameter)
            rows.append(Row(name, w.master.numel(), self.scheme.bits, noise, 0.0, 0.0, size))
        return {
            "bits": total_bits(rows),
            "kilobytes": sum(r.size for r in rows) / 1000,
            "sqnr": min(r.sqnr for r in rows),
        }

    def state_dict(self) -> dict[str, Any]:
        if not self.begun:
            return {}
        parts = {name: {"master": w.master, "step": w.step, "moments": w.moments} for name, w in self.weights.items()}
        return {
            "updates": self.updates,
            "weights": {name: {k: v for k, v in part.items() if v is not None} for name, part in parts.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            self.updates = int(state["updates"])
            self._kept = state["weights"]
            if self.weights:
                self._take(self._kept)

    @torch.no_grad()
    def _take(self, kept: Mapping[str, Any]) -> None:
        for name, weight in self.weights.items():
            device = weight.parameter.device
            weight.master.copy_(kept[name]["master"])
            if "step" in kept[name]:
                weight.step = kept[name]["step"].clone().to(device)
                weight.moments = kept[name]["moments"].clone().to(device)
            weight.rounded = True
