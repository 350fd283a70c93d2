"""Processes that are conditioned exactly: Gaussian ones, and scale mixtures of them."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn

from rk.protocols import Model
from rk_kernels.kernel import Kernel, Positive
from rk_kernels.linalg import cholesky, log_determinant, whiten, with_ridge
from rk_kernels.predictive import PredictiveOutputs
from rk_kernels.scale import FixedScale, ScalePrior

CONSTANT = 1e-12
"""Targets that deviate by less of their mean are equal up to rounding."""


class Process(Model, Protocol):
    """A model that learns from observations in closed form, and its other parameters by their evidence."""

    observed_targets: Tensor

    def observe(self, inputs: Tensor, targets: Tensor) -> None:
        """Adds observations: inputs (n, ...) and targets (n, outputs)."""
        ...

    def log_evidence(self) -> Tensor:
        """Returns the log density of all that was observed, differentiable in the parameters."""
        ...

    def condition(self) -> None:
        """Solves once for all answers to come, until a parameter changes."""
        ...

    def release(self) -> None:
        """Drops the solution: parameters are about to change."""
        ...


class ExactProcess(nn.Module):
    """A process with covariance sigma^2 (K + noise I) and a belief about sigma^2.

    Targets are standardised inside; evidence and answers are in their own unit. Noise is inside the scale, which is
    what makes mixtures over it closed (Shah et al. 2014, arXiv:1402.4306).

    Args:
        kernel: K.
        scale: What is believed of sigma^2.
        noise: Variance of the noise where learning begins, relative to sigma^2.
        learn_noise: Whether gradients change it.
    """

    lazy_buffers = ("observed_inputs", "observed_targets", "factor", "whitened")
    observed_inputs: Tensor
    observed_targets: Tensor
    factor: Tensor
    whitened: Tensor

    def __init__(self, kernel: Kernel, scale: ScalePrior, noise: float, learn_noise: bool) -> None:
        super().__init__()
        self.kernel = kernel
        self.scale = scale
        self.noise = Positive(noise, learn_noise)
        for name in self.lazy_buffers:
            self.register_buffer(name, torch.empty(0, 0, dtype=torch.float64))

    def observe(self, inputs: Float[Tensor, "n *shape"], targets: Float[Tensor, "n outputs"]) -> None:
        """Adds observations."""
        new = inputs.flatten(1).double(), targets.double()
        if self.observed_inputs.numel():
            new = torch.cat([self.observed_inputs, new[0]]), torch.cat([self.observed_targets, new[1]])
        self.observed_inputs, self.observed_targets = new
        self.release()

    def release(self) -> None:
        """Drops the solution."""
        self.factor = self.whitened = self.observed_targets.new_empty(0, 0)

    def log_evidence(self) -> Float[Tensor, ""]:
        """Returns log p(y), in nats."""
        targets, deviation = self._standardised()
        factor, whitened = self._solve(targets)
        count = targets.numel()
        outputs = targets.shape[1]
        evidence = self.scale(whitened.square().sum(), count) - outputs * log_determinant(factor) / 2
        return evidence - len(targets) * deviation.log().sum()

    def condition(self) -> None:
        """Solves once for all answers to come."""
        with torch.no_grad():
            factor, whitened = self._solve(self._standardised()[0])
        # Row by row, as a file gives them back: another layout would change the last bits of an answer
        self.factor, self.whitened = factor.contiguous(), whitened.contiguous()

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> PredictiveOutputs:
        """Returns the predictive distribution of noisy observations; before any was made, the prior's."""
        x = inputs.flatten(1).double()
        prior = self.kernel.diagonal(x) + self.noise()
        if not self.observed_inputs.numel():
            return self._answer(x.new_zeros(x.shape[0], 1), prior, x.new_zeros(()), 0)
        targets, deviation = self._standardised()
        factor, whitened = (self.factor, self.whitened) if self.factor.numel() else self._solve(targets)
        half = whiten(factor, self.kernel(self.observed_inputs, x))
        variance = _above_rounding(prior - half.square().sum(0), prior)
        answer = self._answer(half.mT @ whitened, variance, whitened.square().sum(), targets.numel())
        answer["values"] = answer["values"] * deviation + self.observed_targets.mean(0)
        answer["scales"] = answer["scales"] * deviation[:, None]
        return answer

    def _answer(self, mean: Tensor, variance: Tensor, quadratic: Tensor, count: int) -> PredictiveOutputs:
        scales = self.scale.posterior(quadratic, count)
        size = mean.shape[0]  # not len(): exporters follow it
        return {
            "values": mean,
            # Two roots: the product of two tiny numbers would be 0
            "scales": (variance.sqrt()[:, None, None] * scales.variances.sqrt()).expand(-1, mean.shape[1], -1),
            "log_weights": scales.log_weights.expand(size, -1),
            "degrees": scales.degrees.expand(size, -1),
        }

    def _standardised(self) -> tuple[Tensor, Tensor]:
        """Returns the observed targets less their mean over their standard deviation, and the latter."""
        targets = self.observed_targets
        deviation = targets.std(0, correction=0)
        mean = targets.mean(0)
        deviation = torch.where(deviation > CONSTANT * mean.abs(), deviation, 1.0)
        return (targets - mean) / deviation, deviation

    def _solve(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the Cholesky factor L of K + noise I and L^-1 y."""
        factor = cholesky(with_ridge(self.kernel(self.observed_inputs), self.noise()))
        return factor, whiten(factor, targets)


class GaussianProcess(ExactProcess):
    """A Gaussian process, conditioned exactly; with the kernel of a wide network, an NNGP.

    Args:
        kernel: The covariance, up to its scale.
        noise: Variance of the noise where learning begins, relative to the scale.
        learn_noise: Whether gradients change it.
        scale: Variance that the kernel is multiplied by, in units of the standardised targets; profile: the one of
            highest evidence, D / n.

    Examples:
        model: {name: gaussian-process, kernel: {name: mlp-kernel, depth: 4}, noise: 0.1}

        >>> from rk_kernels.rbf_kernel import RBFKernel
        >>> process = GaussianProcess(RBFKernel())
        >>> process.observe(torch.randn(10, 3), torch.randn(10, 1))
        >>> process.condition()
        >>> process(inputs=torch.randn(4, 3))["values"].shape
        torch.Size([4, 1])
    """

    def __init__(
        self,
        kernel: Kernel,
        noise: Annotated[float, Gt(0)] = 0.05,
        learn_noise: bool = True,
        scale: Annotated[float, Gt(0)] | Literal["profile"] = "profile",
    ) -> None:
        super().__init__(kernel, FixedScale(None if scale == "profile" else scale), noise, learn_noise)


class ContextProcess(nn.Module):
    """A process that is given a whole small problem at a time: observations and where to answer. Nothing is stored.

    Args:
        kernel: The covariance, up to its scale.
        scale: What is believed of the scale; null: that of highest evidence, D / n.
        noise: Variance of the noise, relative to the scale.

    Examples:
        model: {name: context-process, kernel: {name: mlp-kernel, depth: 4}, noise: 0.05}

        >>> from rk_kernels.rbf_kernel import RBFKernel
        >>> process = ContextProcess(RBFKernel())
        >>> observed, targets, inputs = torch.randn(2, 10, 3), torch.randn(2, 10), torch.randn(2, 4, 3)
        >>> process(context_inputs=observed, context_targets=targets, inputs=inputs)["values"].shape
        torch.Size([2, 4])
    """

    def __init__(self, kernel: Kernel, scale: ScalePrior | None = None, noise: Annotated[float, Ge(0)] = 0.05) -> None:
        super().__init__()
        self.kernel = kernel
        self.scale = FixedScale() if scale is None else scale
        self.noise = noise

    def forward(
        self,
        *,
        context_inputs: Float[Tensor, "batch context features"],
        context_targets: Float[Tensor, "batch context"],
        inputs: Float[Tensor, "batch points features"],
    ) -> PredictiveOutputs:
        """Returns the predictive distribution at each point of each problem."""
        factor = cholesky(with_ridge(self.kernel(context_inputs), self.noise))
        whitened = whiten(factor, context_targets.double().unsqueeze(-1))
        half = whiten(factor, self.kernel(context_inputs, inputs))
        prior = self.kernel.diagonal(inputs) + self.noise
        variance = _above_rounding(prior - half.square().sum(-2), prior)
        scales = self.scale.posterior(whitened.square().sum((-2, -1)), context_targets.shape[-1])
        return {
            "values": (half.mT @ whitened).squeeze(-1),
            "scales": variance.sqrt().unsqueeze(-1) * scales.variances.sqrt().unsqueeze(1),
            "log_weights": scales.log_weights,
            "degrees": scales.degrees,
        }


def _above_rounding(variance: Tensor, prior: Tensor) -> Tensor:
    """Returns what observations leave of the prior's variance; at least the latter's rounding, so above 0."""
    limits = torch.finfo(prior.dtype)
    return torch.maximum(variance, (limits.eps * prior).clamp(min=limits.tiny))
