"""Layers for graphs: the convolutions of PyTorch Geometric, and the baseline that looks at no edge."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv


class Convolution(nn.Module):
    """A convolution of PyTorch Geometric as a `rk.protocols.GraphLayer`.

    Args:
        conv: The convolution.
    """

    def __init__(self, conv: Any) -> None:  # Any: torch_geometric has no types
        super().__init__()
        self.conv = conv
        delete_generated(conv)

    def forward(
        self,
        x: Float[Tensor, "nodes in_channels"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges features"] | None = None,
    ) -> Float[Tensor, "nodes out_channels"]:
        """Maps the nodes; features of edges are not used."""
        return self.conv(x, edge_index)


class GCN(Convolution):
    """Graph convolution: the mean of neighbours and the node itself, weighted by their degrees.

    Kipf and Welling, arXiv:1609.02907, Eq. 2; PyTorch Geometric's `GCNConv`.

    Args:
        in_channels: Width of a node.
        out_channels: Width of a node afterwards.

    Examples:
        model: {name: gnn, layer: gcn, d_model: 16}

        >>> GCN(in_channels=4, out_channels=2)(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 2])
    """

    def __init__(self, *, in_channels: int, out_channels: int) -> None:
        super().__init__(GCNConv(in_channels, out_channels))


class SAGE(Convolution):
    """A linear map of the node plus one of the mean of its neighbours.

    Hamilton et al., arXiv:1706.02216, Alg. 1; PyTorch Geometric's `SAGEConv`.

    Args:
        in_channels: Width of a node.
        out_channels: Width of a node afterwards.

    Examples:
        model: {name: gnn, layer: sage}

        >>> SAGE(in_channels=4, out_channels=2)(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 2])
    """

    def __init__(self, *, in_channels: int, out_channels: int) -> None:
        super().__init__(SAGEConv(in_channels, out_channels))


class GAT(Convolution):
    """Graph attention: neighbours are weighted by a softmax of learned scores.

    Velickovic et al., arXiv:1710.10903, Eq. 3 and Eq. 5; PyTorch Geometric's `GATConv`.

    Args:
        in_channels: Width of a node.
        out_channels: Width of a node afterwards, which the heads share.
        num_heads: Heads.

    Raises:
        ValueError: When the heads do not divide the width.

    Examples:
        model: {name: gnn, layer: {name: gat, num_heads: 8}, d_model: 64}

        >>> GAT(in_channels=4, out_channels=2, num_heads=2)(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 2])
    """

    def __init__(self, *, in_channels: int, out_channels: int, num_heads: Annotated[int, Ge(1)] = 4) -> None:
        if out_channels % num_heads:
            raise ValueError(f"num_heads must divide the width {out_channels}, got {num_heads}")
        super().__init__(GATConv(in_channels, out_channels // num_heads, heads=num_heads))


class GIN(Convolution):
    """An MLP of the node plus the sum of its neighbours: it distinguishes what the Weisfeiler-Lehman test does.

    Xu et al., arXiv:1810.00826, Eq. 4.1; PyTorch Geometric's `GINConv`.

    Args:
        in_channels: Width of a node.
        out_channels: Width of a node afterwards.
        mlp_ratio: Width of the MLP's hidden layer, as a multiple of `out_channels`.
        batch_norm: Normalises the hidden layer over the nodes of the batch, as the paper does.

    Examples:
        model: {name: gnn, layer: gin, pool: sum-aggregator}

        >>> GIN(in_channels=4, out_channels=2)(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        mlp_ratio: Annotated[float, Gt(0)] = 1.0,
        batch_norm: bool = True,
    ) -> None:
        hidden = max(1, round(mlp_ratio * out_channels))
        norm = nn.BatchNorm1d(hidden) if batch_norm else nn.Identity()
        mlp = nn.Sequential(nn.Linear(in_channels, hidden), norm, nn.ReLU(), nn.Linear(hidden, out_channels))
        super().__init__(GINConv(mlp, train_eps=True))


class NodeMLP(nn.Module):
    """A linear map of each node alone: the baseline that shows what the edges are worth.

    Args:
        in_channels: Width of a node.
        out_channels: Width of a node afterwards.

    Examples:
        model: {name: gnn, layer: node-mlp}

        >>> NodeMLP(in_channels=4, out_channels=2)(torch.rand(3, 4), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 2])
    """

    def __init__(self, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(
        self,
        x: Float[Tensor, "nodes in_channels"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges features"] | None = None,
    ) -> Float[Tensor, "nodes out_channels"]:
        """Maps each node; edges are not used."""
        return self.linear(x)


def delete_generated(conv: Any) -> None:
    """Deletes the files that PyTorch Geometric has generated for a convolution's class: it leaves them.

    Each process writes the modules of a class once, into the folder of temporary files, and has then imported them.
    Their lines are kept for tracebacks.

    Args:
        conv: A `MessagePassing` module.
    """
    for method in ("propagate", "edge_updater"):
        module = sys.modules.get(f"{type(conv).__module__}_{type(conv).__name__}_{method}")
        if module is None or module.__file__ is None or not Path(module.__file__).exists():
            continue
        source = Path(module.__file__)
        lines = source.read_text().splitlines(keepends=True)
        linecache.cache[str(source)] = (0, None, lines, str(source))  # without a time, it is not looked for again
        source.unlink()
        Path(module.__cached__ or source).unlink(missing_ok=True)
