"""Rows that repeat and mix those of a smaller table, and products with constant sparse matrices."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

EPS = 1e-8
"""Added to the norm by which a row is divided."""


class Sparse:
    """A constant sparse matrix, with its transpose for the backward pass.

    Args:
        rows: (entries,) The row of each entry.
        columns: (entries,) Its column.
        values: (entries,) Its value; entries of one place are added.
        shape: Rows and columns.
    """

    def __init__(
        self,
        rows: Int[Tensor, "entries"],
        columns: Int[Tensor, "entries"],
        values: Float[Tensor, "entries"],
        shape: tuple[int, int],
    ) -> None:
        self.shape = shape
        matrix = torch.sparse_coo_tensor(torch.stack([rows, columns]), values, shape, check_invariants=False).coalesce()
        (self.rows, self.columns), self.values = matrix.indices(), matrix.values()
        self._forward, self._backward = matrix, matrix.t().coalesce()

    @property
    def entries(self) -> int:
        return len(self.values)

    def __matmul__(self, dense: Float[Tensor, "columns width"]) -> Float[Tensor, "rows width"]:
        """Returns the product; the gradient flows into `dense`. It is computed in the matrix's own precision."""
        with torch.autocast(dense.device.type, enabled=False):
            own = dense.to(self.values.dtype)
            product: Tensor = _Product.apply(own, self._forward, self._backward)  # type: ignore[no-untyped-call]  # torch's own
        return product

    def after(self, other: Sparse) -> Sparse:
        """Returns the matrix of `other` first and this one afterwards."""
        off = torch.autocast(self.values.device.type, enabled=False)
        with off, warnings.catch_warnings():  # torch multiplies by way of a format that it calls beta
            warnings.filterwarnings("ignore", "Sparse CSR")
            product = (self._forward @ other._forward).coalesce()
        rows, columns = product.indices()
        return Sparse(rows, columns, product.values(), (self.shape[0], other.shape[1]))

    def scaled(self, factors: Float[Tensor, "rows"]) -> Sparse:
        """Returns the matrix with each row multiplied by a factor."""
        return Sparse(self.rows, self.columns, self.values * factors[self.rows], self.shape)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:  # Any: torch's own context
        ctx.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed @ gradients[0], None, None


@dataclass(frozen=True)
class Mixed:
    """Rows that are sums of rows of a table: many views of a graph share most of what their nodes have.

    Attributes:
        table: (distinct, width) or, where nothing is mixed, (rows, *shape).
        mixing: (rows, distinct); None where the rows are the table.
    """

    table: Float[Tensor, "distinct *shape"]
    mixing: Sparse | None = None

    def __len__(self) -> int:
        return len(self.table) if self.mixing is None else self.mixing.shape[0]

    def dense(self) -> Float[Tensor, "rows *shape"]:
        """Returns the rows themselves."""
        return self.table if self.mixing is None else self.mixing @ self.table

    def normalised(self) -> Mixed:
        """Returns each row divided by its length, as `normalise` does.

        Rows of the table that are mixed must be orthogonal: features and label slots are.
        """
        if self.mixing is None:
            return Mixed(normalise(self.table))
        squares = self.table.square().sum(1)
        mixing = self.mixing
        lengths = torch.zeros(len(self), dtype=squares.dtype, device=squares.device)
        lengths.index_add_(0, mixing.rows, mixing.values.square() * squares[mixing.columns])
        return Mixed(self.table, mixing.scaled(1 / (lengths.sqrt() + EPS)))


def normalise(hidden: Float[Tensor, "rows *shape"]) -> Float[Tensor, "rows *shape"]:
    """Returns each row divided by its length: the next layer learns nothing from how long it is."""
    flat = hidden.flatten(1)
    return (flat / (flat.norm(dim=1, keepdim=True) + EPS)).view_as(hidden)
