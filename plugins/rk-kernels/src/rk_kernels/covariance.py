"""The state between layers of an infinitely wide network: covariances of pairs of inputs, and their variances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["nngp", "ntk"]


@dataclass(frozen=True)
class Covariance:
    """NNGP and NTK of pairs of inputs at one layer.

    Entries are those of a matrix (..., n1, n2), or, where both inputs are the same, of its strict upper triangle
    (..., pairs): half the work, and the matrix is exactly symmetric. Leading dimensions are positions, patches or
    problems. Variances are kept apart: the diagonal is then exact, however deep the network.

    Attributes:
        nngp: Covariances of the outputs.
        ntk: Tangent kernel of the parameters so far.
        d1: Variances of the first inputs, (..., n1).
        d2: Variances of the second ones, (..., n2).
        t1: The tangent kernel's diagonal, (..., n1); used where both inputs are the same.
        triangle: Row and column numbers of the pairs; None: all of a matrix.
    """

    nngp: Tensor
    ntk: Tensor
    d1: Tensor
    d2: Tensor
    t1: Tensor
    triangle: tuple[Tensor, Tensor] | None = None

    @property
    def q11(self) -> Tensor:
        """`d1` in a shape that broadcasts against the entries."""
        return self.d1.unsqueeze(-1) if self.triangle is None else self.d1.index_select(-1, self.triangle[0])

    @property
    def q22(self) -> Tensor:
        """`d2` in a shape that broadcasts against the entries."""
        return self.d2.unsqueeze(-2) if self.triangle is None else self.d2.index_select(-1, self.triangle[1])

    def matrix(self, kind: Kind) -> Tensor:
        """Returns the NNGP or the NTK as (..., n1, n2), symmetric to the last bit where both inputs are the same."""
        entries = self.nngp if kind == "nngp" else self.ntk
        if self.triangle is None:
            return entries
        rows, columns = self.triangle
        diagonal = self.diagonal(kind)
        n = diagonal.shape[-1]
        whole = entries.new_zeros(*entries.shape[:-1], n, n)
        whole[..., rows, columns] = entries
        whole = whole + whole.mT
        return torch.diagonal_scatter(whole, diagonal, dim1=-2, dim2=-1)

    def diagonal(self, kind: Kind) -> Tensor:
        """Returns the entries of each first input with itself, (..., n1)."""
        return self.d1 if kind == "nngp" else self.t1

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Covariance:
        """Returns the same with a linear `function` of the leading dimensions applied to everything."""
        d1 = function(self.d1)
        d2 = d1 if self.d2 is self.d1 else function(self.d2)
        return replace(self, nngp=function(self.nngp), ntk=function(self.ntk), d1=d1, d2=d2, t1=function(self.t1))


def inner_products(x1: Tensor, x2: Tensor | None = None, *, start: Literal["zero", "nngp"] = "zero") -> Covariance:
    """Returns the covariances that enter the first layer: x . x' over all but the last two dimensions.

    Args:
        x1: (..., n1, features). Scale it by 1 / sqrt(features) for the usual division by the fan-in.
        x2: (..., n2, features); None: `x1` again.
        start: The tangent kernel before the first layer: zero if the scale of the inputs is not a parameter; or equal
            to the NNGP, as of a first linear layer that is trained.
    """
    d1 = x1.square().sum(-1)
    if x2 is None:
        n = x1.shape[-2]
        rows, columns = torch.triu_indices(n, n, 1, device=x1.device)
        nngp, d2, triangle = (x1 @ x1.mT)[..., rows, columns], d1, (rows, columns)
    else:
        nngp, d2, triangle = x1 @ x2.mT, x2.square().sum(-1), None
    ntk, t1 = (nngp, d1) if start == "nngp" else (torch.zeros_like(nngp), torch.zeros_like(d1))
    return Covariance(nngp, ntk, d1, d2, t1, triangle)


def variances(variance: Tensor, *, start: Literal["zero", "nngp"] = "zero") -> Covariance:
    """Returns what enters the first layer when only the diagonal is wanted: no pairs at all.

    Args:
        variance: x . x of each input, (..., n).
        start: As in `inner_products`.
    """
    none = variance.new_zeros(*variance.shape[:-1], 0)
    empty = torch.zeros(0, dtype=torch.long, device=variance.device)
    tangent = variance if start == "nngp" else torch.zeros_like(variance)
    return Covariance(none, none, variance, variance, tangent, (empty, empty))
