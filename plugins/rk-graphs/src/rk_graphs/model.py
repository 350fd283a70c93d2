"""The models `gnn` and `deep-sets`: slots for any graph layer and any aggregator."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk import UserError
from rk.protocols import Aggregator, Factory, GraphLayer
from rk_graphs.aggregators import MeanAggregator
from rk_graphs.fields import GraphOutputs, Level

Norm = Literal["none", "layer", "batch"]


class GNN(nn.Module):
    """Runs blocks of one kind of graph layer over the nodes, and reads answers out.

    Facts of the data give whether nodes, links or graphs are answered. Of a graph, the head reads what `pool` makes of
    its nodes. A link's score is the dot product of its two nodes.

    Without `project`, the first block reads the features, and the last one has neither norm nor ReLU and gives the
    answers of nodes, as in the papers of the layers. This suits many sparse features and few labels. With it, a linear
    map comes before the blocks and another one behind them, and blocks can be deep, skipped and repeated.

    Args:
        layer: What passes messages; one is built for each block.
        num_features: Features of a node.
        num_outputs: Classes, or numbers to predict.
        level: What is answered: each `node`, each `link` that is asked about, or each `graph`.
        d_model: Width of a node inside.
        num_layers: Blocks.
        project: Whether linear maps come before and behind the blocks.
        pool: What makes one row of a graph's nodes; null: their mean.
        norm: Behind each layer: `none`, `layer`, or `batch`, over all nodes of the batch.
        residual: Whether blocks add to their input.
        dropout: Share of the input features, and of what each block gives, that is dropped in training.
        head_layers: Linear layers of the head.

    Attributes:
        blocks: The blocks, each called with the nodes, `edge_index` and `edge_attr`.
        keeps_shape: Whether blocks can be skipped and repeated: with `project`.

    Examples:
        model: {name: gnn, layer: gcn, d_model: 16, num_layers: 2, dropout: 0.5}

        >>> from rk_graphs.layers import GCN
        >>> model = GNN(layer=GCN, num_features=3, num_outputs=2, level="node")
        >>> model(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1], [1, 2]]))["logits"].shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        *,
        layer: Factory[GraphLayer],
        num_features: int,
        num_outputs: int,
        level: Level,
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1)] = 2,
        project: bool = False,
        pool: Factory[Aggregator] | None = None,
        norm: Norm = "none",
        residual: bool = False,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        head_layers: Annotated[int, Ge(1)] = 1,
    ) -> None:
        super().__init__()
        if residual and not project:
            raise ValueError("residual needs project: without it, blocks change the width")
        self.keeps_shape = project
        self.level = level
        last = num_outputs if level == "node" and not project else d_model
        sizes = [d_model if project else num_features, *[d_model] * (num_layers - 1), last]
        self.projection = nn.Linear(num_features, d_model) if project else nn.Identity()
        bare = not project and level != "graph"
        self.blocks = nn.ModuleList()
        for number, (before, after) in enumerate(pairwise(sizes), 1):
            built = layer(in_channels=before, out_channels=after)
            whole = number < num_layers or not bare
            self.blocks.append(GraphBlock(built, after, norm, residual, dropout) if whole else BareBlock(built))
        if level == "graph":
            self.pool = MeanAggregator(d_model=d_model) if pool is None else pool(d_model=d_model)
        self.head: nn.Module = nn.Identity()
        if level == "graph" or (project and level == "node"):
            self.head = mlp(d_model, num_outputs, head_layers)
        elif project:
            self.head = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        *,
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"] | None = None,
        graph_index: Int[Tensor, "nodes"] | None = None,
        graph_sizes: Int[Tensor, "graphs"] | None = None,
        link_index: Int[Tensor, "2 links"] | None = None,
    ) -> GraphOutputs:
        """Returns the answers of a flat batch of graphs."""
        hidden, context = self.enter(x=x, edge_index=edge_index, edge_attr=edge_attr)
        for block in self.blocks:
            hidden = block(hidden, *context)
        return self.leave(hidden, graph_index=graph_index, graph_sizes=graph_sizes, link_index=link_index)

    def enter(
        self,
        *,
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        """Returns what the first block takes, of (nodes, d_model), and the edges that each block takes besides."""
        return self.projection(self.dropout(x)), (edge_index, edge_attr)

    def leave(
        self,
        hidden: Float[Tensor, "nodes d_model"],
        *,
        graph_index: Int[Tensor, "nodes"] | None = None,
        graph_sizes: Int[Tensor, "graphs"] | None = None,
        link_index: Int[Tensor, "2 links"] | None = None,
    ) -> GraphOutputs:
        """Returns the answers from what the last block gave."""
        if self.level == "link":
            return link_answers(self.head(hidden), link_index)
        if self.level == "graph":
            if graph_index is None or graph_sizes is None:
                raise UserError("this model answers graphs, but the batch does not say which node is of which graph")
            hidden = self.pool(hidden, graph_index, len(graph_sizes))
        numbers = self.head(hidden)
        return {"logits": numbers, "values": numbers}


def link_answers(hidden: Float[Tensor, "nodes d"], link_index: Int[Tensor, "2 links"] | None) -> GraphOutputs:
    """Returns logits of "not linked" and "linked": 0, and the dot product of the two nodes.

    Raises:
        UserError: When the batch does not say which pairs are asked about.
    """
    if link_index is None:
        raise UserError("this model answers links, but the batch has no link_index")
    source, target = hidden[link_index]
    score = (source * target).sum(-1)
    numbers = torch.stack([torch.zeros_like(score), score], 1)
    return {"logits": numbers, "values": numbers}


class GraphBlock(nn.Module):
    """A graph layer, a norm, ReLU and dropout, beside which the input may pass.

    Args:
        layer: What passes messages.
        d_model: Width.
        norm: ``none``, ``layer`` or ``batch``.
        residual: Whether the block adds to its input.
        dropout: Share of the output that is dropped in training.
    """

    def __init__(self, layer: GraphLayer, d_model: int, norm: Norm, residual: bool, dropout: float) -> None:
        super().__init__()
        norms: dict[str, Callable[[int], nn.Module]] = {
            "none": lambda _: nn.Identity(), "layer": nn.LayerNorm, "batch": nn.BatchNorm1d,
        }  # fmt: skip
        self.layer = layer
        self.norm = norms[norm](d_model)
        self.residual = residual
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "nodes d"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges features"] | None = None,
    ) -> Float[Tensor, "nodes d"]:
        change = self.dropout(torch.relu(self.norm(self.layer(x, edge_index, edge_attr))))
        return x + change if self.residual else change


class BareBlock(nn.Module):
    """A graph layer alone: the last block, where it gives the answers.

    Args:
        layer: What passes messages.
    """

    def __init__(self, layer: GraphLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self,
        x: Float[Tensor, "nodes d"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges features"] | None = None,
    ) -> Float[Tensor, "nodes outputs"]:
        return self.layer(x, edge_index, edge_attr)


class DeepSets(nn.Module):
    """An MLP of each item, an aggregator, and an MLP of what it gives (Zaheer et al., arXiv:1703.06114, Th. 2).

    A set is a graph without edges: items are its nodes.

    Args:
        aggregator: What makes one row of a set.
        num_features: Features of an item.
        num_outputs: Classes, or numbers to predict.
        d_model: Width inside.
        encoder_layers: Linear layers before the aggregator.
        head_layers: Linear layers behind it.
        bounded: Whether a tanh keeps what the aggregator gets between -1 and 1.

    Examples:
        model: {name: deep-sets, aggregator: sum-aggregator, d_model: 48}

        >>> from rk_graphs.aggregators import SumAggregator
        >>> model = DeepSets(aggregator=SumAggregator, num_features=3, num_outputs=2)
        >>> sets = {"graph_index": torch.tensor([0, 0, 0, 1]), "graph_sizes": torch.tensor([3, 1])}
        >>> model(x=torch.rand(4, 3), **sets)["logits"].shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        *,
        aggregator: Factory[Aggregator],
        num_features: int,
        num_outputs: int,
        d_model: Annotated[int, Ge(1)] = 64,
        encoder_layers: Annotated[int, Ge(1)] = 2,
        head_layers: Annotated[int, Ge(1)] = 2,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(num_features, d_model))
        if encoder_layers > 1:
            self.encoder.append(nn.ReLU())
            self.encoder.append(mlp(d_model, d_model, encoder_layers - 1))
        if bounded:
            self.encoder.append(nn.Tanh())
        self.aggregator = aggregator(d_model=d_model)
        self.head = mlp(d_model, num_outputs, head_layers)

    def forward(
        self,
        *,
        x: Float[Tensor, "nodes features"],
        graph_index: Int[Tensor, "nodes"],
        graph_sizes: Int[Tensor, "graphs"],
    ) -> GraphOutputs:
        """Returns the answers of a flat batch of sets."""
        numbers = self.head(self.aggregator(self.encoder(x), graph_index, len(graph_sizes)))
        return {"logits": numbers, "values": numbers}


def mlp(d_model: int, num_outputs: int, num_layers: int) -> nn.Sequential:
    """Returns `num_layers` linear layers with ReLU between; all but the last have the width `d_model`."""
    layers: list[nn.Module] = []
    for _ in range(num_layers - 1):
        layers += [nn.Linear(d_model, d_model), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(d_model, num_outputs))
