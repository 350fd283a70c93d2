"""A block whose input is settled: what a layer gathers from neighbours is computed once for its whole training.

A layer that learns alone gets the same input in every step. Where its aggregation comes before its weights, as in GCN,
SAGE and GIN, each step is then a dense product: no edge is followed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from rk_graphs.layers import GCN, GIN, SAGE, NodeMLP
from rk_graphs.model import BareBlock, GraphBlock
from torch import Tensor, nn
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from rk_forwardgnn.mixed import Mixed, Sparse
from rk_forwardgnn.model import StackBlock

ENTRY_COST = 8
"""A multiplication by an entry of a sparse matrix takes as long as so many of a dense product."""


class Settled:
    """A block with its input. What it is called for is computed as the block itself would.

    Args:
        block: Any block.
        hidden: Its input.
        context: What it takes besides.
        keep: Whether what is gathered is kept from call to call, where the layer allows it.
    """

    def __init__(self, block: nn.Module, hidden: Mixed, context: tuple[Any, ...], keep: bool = True) -> None:
        self.context = context
        self.kept = _kept(block, hidden, context) if keep else None
        if self.kept is None:
            self.block, self.hidden = block, hidden.dense()
            return
        self.block = copy.copy(block)  # the same weights around another layer
        self.block._modules = {**block._modules, "layer": self.kept}
        self.hidden = hidden.table  # which that layer does not look at

    def __call__(self) -> Tensor:
        """Returns what the block gives."""
        given: Tensor = self.block(self.hidden, *self.context)
        return given


def _kept(block: nn.Module, hidden: Mixed, context: tuple[Any, ...]) -> nn.Module | None:
    """Returns what takes the place of the block's layer; None where the block, or its layer, is of another kind."""
    plain = isinstance(block, GraphBlock) and not block.residual
    if not (plain or isinstance(block, BareBlock) or (isinstance(block, StackBlock) and not block.above)):
        return None
    layer: nn.Module = block.layer  # type: ignore[assignment]  # a module of one of the three
    rule = RULES.get(type(layer))
    if rule is None or context[1] is not None or hidden.table.ndim != 2:
        return None
    return rule(layer, hidden, context[0])


class Term:
    """A constant matrix times the input, which a linear layer maps: in the cheaper order of the two.

    Args:
        matrix: What is gathered, (rows, rows); None for each row itself.
        hidden: The input.
        width: Width of what the linear layer gives.
    """

    def __init__(self, matrix: Sparse | None, hidden: Mixed, width: int) -> None:
        whole = hidden.mixing
        if matrix is not None:
            whole = matrix if hidden.mixing is None else matrix.after(hidden.mixing)
        distinct, size = hidden.table.shape
        self.matrix: Sparse | None = None
        self.rows = hidden.table
        if whole is not None:
            if whole.shape[0] * size <= distinct * size + ENTRY_COST * whole.entries:
                self.rows = whole @ hidden.table
            else:
                self.matrix = whole

    def mapped(self, weight: Tensor) -> Tensor:
        """Returns the gathered rows times the transposed weight."""
        product = self.rows @ weight.T
        return product if self.matrix is None else self.matrix @ product


class KeptGCN(nn.Module):
    """`gcn` with its input: (A X) W, where A X is known."""

    def __init__(self, layer: GCN, hidden: Mixed, edge_index: Int[Tensor, "2 edges"]) -> None:
        super().__init__()
        self.conv = layer.conv
        count, like = len(hidden), hidden.table
        (source, target), weight = gcn_norm(
            edge_index, None, count, self.conv.improved, self.conv.add_self_loops, self.conv.flow, like.dtype
        )
        self.term = Term(Sparse(target, source, weight, (count, count)), hidden, self.conv.out_channels)

    def forward(self, *given: Any) -> Tensor:  # Any: what the block gives its layer, which is known
        mapped = self.term.mapped(self.conv.lin.weight)
        return mapped if self.conv.bias is None else mapped + self.conv.bias


class KeptSAGE(nn.Module):
    """`sage` with its input: the means of neighbours are known."""

    def __init__(self, layer: SAGE, hidden: Mixed, edge_index: Int[Tensor, "2 edges"]) -> None:
        super().__init__()
        self.conv = layer.conv
        source, target = edge_index
        count, like = len(hidden), hidden.table
        degree = torch.bincount(target, minlength=count).clamp(min=1).to(like)
        mean = Sparse(target, source, 1 / degree[target], (count, count))
        self.neighbours = Term(mean, hidden, self.conv.out_channels)
        self.itself = Term(None, hidden, self.conv.out_channels)

    def forward(self, *given: Any) -> Tensor:  # Any: as above
        return (
            self.neighbours.mapped(self.conv.lin_l.weight)
            + self.conv.lin_l.bias
            + self.itself.mapped(self.conv.lin_r.weight)
        )


class KeptGIN(nn.Module):
    """`gin` with its input: the sums of neighbours are known."""

    def __init__(self, layer: GIN, hidden: Mixed, edge_index: Int[Tensor, "2 edges"]) -> None:
        super().__init__()
        self.conv = layer.conv
        source, target = edge_index
        count = len(hidden)
        ones = torch.ones(len(source), dtype=hidden.table.dtype, device=hidden.table.device)
        self.itself = hidden.dense()
        self.neighbours = Sparse(target, source, ones, (count, count)) @ self.itself

    def forward(self, *given: Any) -> Tensor:  # Any: as above
        mapped: Tensor = self.conv.nn(self.neighbours + (1 + self.conv.eps) * self.itself)
        return mapped


class KeptMLP(nn.Module):
    """`node-mlp` with its input: rows that repeat are mapped once."""

    def __init__(self, layer: NodeMLP, hidden: Mixed, edge_index: Int[Tensor, "2 edges"]) -> None:
        super().__init__()
        self.linear = layer.linear
        self.term = Term(None, hidden, self.linear.out_features)

    def forward(self, *given: Any) -> Tensor:  # Any: as above
        mapped = self.term.mapped(self.linear.weight)
        return mapped if self.linear.bias is None else mapped + self.linear.bias


RULES: dict[type, Callable[[Any, Mixed, Tensor], nn.Module]] = {  # Any: the class of the key
    GCN: KeptGCN,
    SAGE: KeptSAGE,
    GIN: KeptGIN,
    NodeMLP: KeptMLP,
}
"""Class of a layer -> what it is with its input. A subclass may gather otherwise, so it is not looked up."""
