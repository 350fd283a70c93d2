"""The callback `gradient-noise`: the method for any model, any optimizer and any trainer that uses one."""

from __future__ import annotations

import math
import re
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from rk import FitContext, UserError
from rk_gradient_noise.noise import add_noise, variance

_STREAM = 0x6E6F697365
"""Keeps the noise apart from all else that is drawn from `fit.seed`."""
_ZERO = 1e-12
"""Counts as the norm of a zero gradient, so that the ratio to it is finite."""


class GradientNoise:
    """Adds annealed Gaussian noise to every gradient, after clipping and before the optimizer's step.

    The variance at step t = 0, 1, 2, ... of the run is eta / (1 + t)^gamma (Eq. 1 of arXiv:1511.06807), where t counts
    neither epochs nor the micro-batches of `fit.accumulate`. The noise is a function of the seed and the step alone, so
    a resumed run continues with the same noise, all processes draw the same noise, and no other random number
    of the run changes. Parameters without a gradient get none.

    Logs `noise-std`, and `noise-ratio`: the norm of the noise over that of the gradient, at the steps where the run
    logs. A gradient of zero counts as one of norm 1e-12.

    Args:
        seed: Seeds the noise.
        eta: Variance at step 0; the paper chooses among 0.01, 0.3 and 1.0.
        gamma: How fast the variance falls; 0 keeps it at eta.
        start_step: The first step with noise.
        stop_step: The first step without noise again; null: never.
        parameters: Regular expression; only parameters with a match in their name get noise. null: all.

    Examples:
        callbacks: [{name: gradient-noise, eta: 0.05}]
    """

    def __init__(
        self,
        seed: int,
        eta: Annotated[float, Gt(0)] = 0.3,
        gamma: Annotated[float, Ge(0)] = 0.55,
        start_step: Annotated[int, Ge(0)] = 0,
        stop_step: Annotated[int, Ge(1)] | None = None,
        parameters: str | None = None,
    ) -> None:
        if stop_step is not None and stop_step <= start_step:
            raise ValueError(f"stop_step must be > start_step, got {stop_step} and {start_step}: no step with noise")
        try:
            self.pattern = None if parameters is None else re.compile(parameters)
        except re.error as error:
            raise ValueError(f"parameters: {parameters!r} is not a regular expression: {error}") from None
        self.seed = seed
        self.eta = eta
        self.gamma = gamma
        self.start_step = start_step
        self.stop_step = math.inf if stop_step is None else stop_step

    def fit_start(self, fit: FitContext) -> None:
        if not fit.runtime.rates():
            name = type(fit.trainer).__name__
            raise UserError(f"gradient-noise: {name} has no optimizer, so there is no gradient to add noise to")
        self.fit = fit
        self.updates = 0  # of this step: a trainer may have several optimizers
        self.log_every = fit.recipe.fit.log_every
        self.chosen: set[int] | None = None
        if self.pattern is not None:
            names = {name: p for name, p in fit.learner.named_parameters() if self.pattern.search(name)}
            if not names:
                known = ", ".join(name for name, _ in fit.learner.named_parameters())
                raise UserError(
                    f"gradient-noise: no parameter has a name that {self.pattern.pattern!r} matches",
                    f"parameters: {known}",
                )
            self.chosen = {id(p) for p in names.values()}

    def before_update(self, params: list[Tensor]) -> None:
        step = self.fit.step  # steps done: the paper's t
        if not self.start_step <= step < self.stop_step:
            return
        gradients = [p.grad for p in params if p.grad is not None and (self.chosen is None or id(p) in self.chosen)]
        if any(g.is_sparse for g in gradients):
            raise UserError(
                "gradient-noise: a gradient is sparse; noise on all of its numbers would make it dense",
                "make it dense (sparse=False), or leave its parameter out with gradient-noise's parameters",
            )
        key = [self.seed, _STREAM, step, self.updates]
        if any(hasattr(g, "to_local") for g in gradients):  # DTensors: each process holds another share of the numbers
            gradients = [g.to_local() if hasattr(g, "to_local") else g for g in gradients]
            key.append(self.fit.runtime.rank)
        self.updates += 1
        std = math.sqrt(variance(step, self.eta, self.gamma))
        logging = bool(gradients) and (step + 1) % self.log_every == 0
        before = _norm(gradients) if logging else None
        noise = add_noise(gradients, std, *key)
        if before is not None:
            self.fit.log({"noise-std": std, "noise-ratio": std * _norm(noise) / before.clamp(min=_ZERO)})

    def after_step(self, fit: FitContext) -> None:
        self.updates = 0


def _norm(tensors: list[Tensor]) -> Tensor:
    """Returns the L2 norm of all numbers together."""
    norms = [torch.linalg.vector_norm(tensor).float() for tensor in tensors]
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))
