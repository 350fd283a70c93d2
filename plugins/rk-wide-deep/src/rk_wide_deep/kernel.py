"""The layer `deep-kernel`: kernels of infinitely wide networks of any depth, the infinite one included."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from rk_kernels.depth import depth_map
from rk_kernels.duals import Dual
from rk_kernels.series import Hermite
from rk_kernels.tiles import tiled
from torch import Tensor

from rk import UserError
from rk_wide_deep.activations import dual
from rk_wide_deep.deep import Signed, log_deep, log_diagonal, log_singular
from rk_wide_deep.smoothers import Smoother, gaps, voting
from rk_wide_deep.taxonomy import limit_of

SETTLED = 40
"""Layers after which a kernel without linear term has chosen the nearest neighbour: its logarithm grew by 2^40."""


class DeepKernel(Smoother):
    """NNGP or NTK of a network whose layers keep the variance of inputs on the sphere; of infinitely many layers too.

    Radhakrishnan, Belkin and Uhler 2023, arXiv:2204.14126. Inputs are divided by their norms, and the kernel is 1 on
    the diagonal. At ``depth: inf`` it is the limit that the taxonomy has for the activation: the identity on the
    training inputs, and for each new input weights of sum 1 over them. Their signs and ratios are those of the limit,
    so classes are; the values of `kernel-ridge` are then weighted means, where the network's go to 0. A process takes
    finite depths alone.

    Args:
        activation: opt: the polynomial that is optimal on the sphere; opt-sine: the sine that is; relu, leaky-relu,
            gelu, cos, erf, sin, tanh, silu, sigmoid, softplus, linear; a list of Hermite coefficients a_0, a_1, ...;
            module:name of a function.
        depth: Hidden layers, or inf.
        kind: nngp or ntk; both have the same limit.
        dimension: d of the sphere, for the optimal activations; null: features - 1. Inputs that vary along fewer
            directions have a smaller one.
        tolerance: The training matrix counts as the identity when each row's other entries add up to less: nothing is
            solved then. 0: always solved.

    Examples:
        trainer: {name: kernel-regression, kernel: {name: deep-kernel, activation: opt, depth: 60}, ridge: 0}

        >>> DeepKernel(activation="relu", depth=1)(torch.eye(2))  # relu of orthogonal inputs: 1 / pi
        tensor([[1.0000, 0.3183],
                [0.3183, 1.0000]], dtype=torch.float64)
    """

    def __init__(
        self,
        activation: str | tuple[float, ...] = "opt",
        depth: Annotated[int, Ge(1)] | Literal["inf"] = "inf",
        kind: Literal["nngp", "ntk"] = "nngp",
        dimension: Annotated[int, Ge(1)] | None = None,
        tolerance: Annotated[float, Ge(0)] = 1e-3,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.depth = depth
        self.kind = kind
        self.dimension = dimension
        self.tolerance = tolerance
        self._duals: dict[int, Dual] = {}
        if limit_of(self.dual(dimension or 2)).rule == "linear" and depth == "inf":
            raise ValueError("a linear activation has no limit of infinite depth: give depth a number")

    def dual(self, dimension: int) -> Dual:
        """Returns the activation's dual on the sphere S^dimension."""
        d = self.dimension or dimension
        if d not in self._duals:
            self._duals[d] = dual(self.activation, d)
        return self._duals[d]

    def forward(
        self, x1: Float[Tensor, "n1 *shape"], x2: Float[Tensor, "n2 *shape"] | None = None
    ) -> Float[Tensor, "n1 n2"]:
        """Returns the kernel matrix; at infinite depth the identity, or the weights of `x2` for each of `x1`."""
        if self.depth == "inf":
            return super().forward(x1, x2)
        a, b = x1.flatten(1).double(), None if x2 is None else x2.flatten(1).double()

        def entries(u: Tensor, v: Tensor | None) -> Tensor:
            return self.entries(gaps(u, u if v is None else v), a.shape[1] - 1)

        matrix = tiled(entries, a, b)
        if b is None:
            return self._settled(matrix)
        if not torch.compiler.is_exporting() and bool((matrix == 0).all(1).any()):
            raise UserError(f"deep-kernel: after {self.depth} layers, all is below the smallest float", "depth=inf")
        return matrix

    def diagonal(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n"]:
        """Returns ones. Raises `rk.UserError` at infinite depth: a process with that prior is white noise."""
        if self.depth == "inf":
            raise UserError("a process needs a deep-kernel of finite depth, got depth inf", "depth=60")
        return torch.ones(len(x), dtype=torch.float64, device=x.device)

    def entries(self, gaps: Tensor, dimension: int) -> Tensor:
        """Returns the kernel at a finite depth, entry by entry."""
        assert self.depth != "inf"
        t = self.dual(dimension)
        if isinstance(t, Hermite) and t.lowest:
            logs, signs = log_deep(t, gaps, self.depth, self.kind)
            return signs * (logs - log_diagonal(t, self.depth, self.kind)).exp()
        return depth_map(t, 1 - gaps, self.depth, self.kind) / depth_map(t, gaps.new_ones(()), self.depth, self.kind)

    def _settled(self, matrix: Tensor) -> Tensor:
        """Returns the training matrix with a diagonal of exactly 1, or the identity where the rest is negligible."""
        matrix = torch.diagonal_scatter(matrix, torch.zeros_like(matrix[0]))
        eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        return eye if float(matrix.abs().sum(1).max()) < self.tolerance else matrix + eye

    def weights(self, gaps: Tensor, dimension: int) -> Tensor:
        """Returns the weights of infinite depth."""
        t = self.dual(dimension)
        return limit_weights(t, gaps)


def limit_weights(dual: Dual, gaps: Tensor) -> Tensor:
    """Returns how much each training input counts for each new one in the limit of infinite depth: rows of sum 1.

    Args:
        dual: Of the activation.
        gaps: 1 - z of new and training inputs, (n1, n2).
    """
    rule = limit_of(dual).rule
    if rule == "majority":
        return torch.full_like(gaps, 1 / max(1, gaps.shape[1]))
    assert isinstance(dual, Hermite)  # all duals without constant term are series
    logged: Signed = log_singular(dual, gaps) if rule == "singular" else log_deep(dual, gaps, SETTLED)
    return voting(*logged)
