"""Kernels whose training matrix is the identity: what a kernel machine answers is a weighted vote."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk import UserError
from rk_wide_deep.deep import LEAST

ENTRIES = 2**17
"""Entries of a kernel matrix that are computed at once: a core's cache holds them."""


def gaps(x1: Float[Tensor, "n1 features"], x2: Float[Tensor, "n2 features"]) -> Float[Tensor, "n1 n2"]:
    """Returns 1 - z of the directions of inputs, as half the squared distance: 1 - z itself has no digits near 0."""
    a, b = functional.normalize(x1.double()), functional.normalize(x2.double())
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square() / 2


def voting(logs: Tensor, signs: Tensor) -> Tensor:
    """Returns signed weights in proportion to ``signs * exp(logs)``, whose absolute values have sum 1 in each row.

    Args:
        logs: (n1, n2).
        signs: (n1, n2).
    """
    top = logs.amax(-1, keepdim=True).clamp(min=-torch.finfo(logs.dtype).max)
    weights = signs * (logs - top).exp()
    return weights / weights.abs().sum(-1, keepdim=True).clamp(min=torch.finfo(logs.dtype).tiny)


class Smoother(nn.Module, ABC):
    """The matrix of the training inputs is the identity, and each new input has weights of sum 1 over them.

    A kernel for `kernel-regression` and `kernel-ridge`, which then answer weighted means.
    """

    @abstractmethod
    def weights(self, gaps: Tensor, dimension: int) -> Tensor:
        """Returns (n1, n2) from the gaps of n1 new and n2 training inputs on the sphere S^dimension."""

    def forward(
        self, x1: Float[Tensor, "n1 *shape"], x2: Float[Tensor, "n2 *shape"] | None = None
    ) -> Float[Tensor, "n1 n2"]:
        """Returns the identity, or the weights of `x2` for each of `x1`."""
        x1 = x1.flatten(1).double()
        if x2 is None:
            return torch.eye(len(x1), dtype=x1.dtype, device=x1.device)
        x2 = x2.flatten(1).double()
        if torch.compiler.is_exporting():
            return self.weights(gaps(x1, x2), x1.shape[1] - 1)
        rows = max(1, ENTRIES // max(1, len(x2)))
        return torch.cat([self.weights(gaps(x, x2), x1.shape[1] - 1) for x in x1.split(rows)])

    def diagonal(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n"]:
        """Raises `rk.UserError`: only processes ask for variances, and weights are not a covariance."""
        raise UserError("this kernel is a vote, not the covariance of a process", "take trainer.name=kernel-regression")


class HilbertKernel(Smoother):
    """The Hilbert estimate: a vote with weights 1 / distance^alpha, consistent for alpha = d alone.

    Devroye, Györfi and Krzyzak 1998. Inputs are divided by their norms.

    Args:
        alpha: The exponent; null: the dimension of the sphere, features - 1.

    Examples:
        trainer: {name: kernel-regression, kernel: hilbert-kernel, ridge: 0}

        >>> HilbertKernel()(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """

    def __init__(self, alpha: Annotated[float, Gt(0)] | None = None) -> None:
        super().__init__()
        self.alpha = alpha

    def weights(self, gaps: Tensor, dimension: int) -> Tensor:
        alpha = dimension if self.alpha is None else self.alpha
        return voting(-alpha / 2 * gaps.clamp(min=LEAST).log(), torch.ones_like(gaps))


class NearestKernel(Smoother):
    """The nearest training input, by the angle, has all the weight.

    Examples:
        trainer: {name: kernel-regression, kernel: nearest-kernel, ridge: 0}

        >>> NearestKernel()(torch.tensor([[3.0, 1.0]]), torch.eye(2))
        tensor([[1., 0.]], dtype=torch.float64)
    """

    def __init__(self) -> None:
        super().__init__()

    def weights(self, gaps: Tensor, dimension: int) -> Tensor:
        return functional.one_hot(gaps.argmin(1), gaps.shape[1]).double()


class MajorityKernel(Smoother):
    """All training inputs have the same weight: the answer is the most frequent class.

    Examples:
        trainer: {name: kernel-regression, kernel: majority-kernel, ridge: 0}

        >>> MajorityKernel()(torch.rand(1, 2), torch.rand(4, 2))
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]], dtype=torch.float64)
    """

    def __init__(self) -> None:
        super().__init__()

    def weights(self, gaps: Tensor, dimension: int) -> Tensor:
        return torch.full_like(gaps, 1 / max(1, gaps.shape[1]))
