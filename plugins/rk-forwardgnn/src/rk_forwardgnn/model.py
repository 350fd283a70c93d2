"""The model `gnn-stack`: the paper's network, in which every layer is whole."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from rk_graphs.fields import GraphOutputs
from rk_graphs.model import link_answers
from torch import Tensor, nn

from rk.protocols import Factory, GraphLayer


class StackBlock(nn.Module):
    """A graph layer and ReLU. It may read what the block above gave beside what comes from below.

    Args:
        layer: What passes messages.
        below: Width of what comes from below.
        above: Width of what comes from above; 0 for nothing.
    """

    def __init__(self, layer: Factory[GraphLayer], below: int, above: int, d_model: int) -> None:
        super().__init__()
        self.layer = layer(in_channels=below + above, out_channels=d_model)
        self.below, self.above = below, above

    def forward(
        self,
        x: Float[Tensor, "nodes width"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges features"] | None = None,
    ) -> Float[Tensor, "nodes d_model"]:
        """Maps the nodes; without anything from above, zeros are read in its place."""
        if self.above and x.shape[1] == self.below:
            x = torch.cat([x, x.new_zeros(len(x), self.above)], 1)
        return torch.relu(self.layer(x, edge_index, edge_attr))


class GNNStack(nn.Module):
    """Graph layers of one width, each with ReLU: every layer is one that can learn alone.

    `forward-local` trains the blocks and answers by them; it leaves the head alone. `backprop` trains all of it.

    Args:
        layer: What passes messages; one is built for each block.
        num_features: Features of a node.
        num_outputs: Classes.
        level: What is answered: each `node`, or each `link` that is asked about.
        d_model: Width of every layer.
        num_layers: Layers.
        reads: What blocks read. `features`: what comes from below. `label`: the first one reads slots for a label
            besides, as the method `ff-label` appends it. `above`: every one reads what the block above gave, the last
            one the label, as the method `sf-top-input` does.

    Attributes:
        blocks: The blocks, each called with the nodes, `edge_index` and `edge_attr`.
        label_size: Slots for a label that the first block reads.
        keeps_shape: False: the first block changes the width.

    Raises:
        ValueError: When whole graphs are to be answered.

    Examples:
        model: {name: gnn-stack, layer: gcn, d_model: 128, num_layers: 4}

        >>> from rk_graphs.layers import GCN
        >>> model = GNNStack(layer=GCN, num_features=3, num_outputs=2, level="node")
        >>> model(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1], [1, 2]]))["logits"].shape
        torch.Size([4, 2])
    """

    keeps_shape = False

    def __init__(
        self,
        *,
        layer: Factory[GraphLayer],
        num_features: int,
        num_outputs: int,
        level: Literal["node", "link", "graph"],
        d_model: Annotated[int, Ge(1)] = 128,
        num_layers: Annotated[int, Ge(1)] = 4,
        reads: Literal["features", "label", "above"] = "features",
    ) -> None:
        super().__init__()
        if level == "graph":
            raise ValueError("gnn-stack answers nodes and links, the data asks about graphs")
        self.level = level
        self.num_features = num_features
        self.label_size = num_outputs if reads == "label" else 0
        below = [num_features + self.label_size] + [d_model] * (num_layers - 1)
        above = [0] * num_layers
        if reads == "above":
            above = [d_model] * (num_layers - 1) + [num_outputs]
        self.blocks = nn.ModuleList(StackBlock(layer, b, a, d_model) for b, a in zip(below, above, strict=True))
        self.head = nn.Linear(d_model, num_outputs if level == "node" else d_model)

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
        """Returns the answers of the head; which graph a node is of does not matter."""
        hidden, context = self.enter(x=x, edge_index=edge_index, edge_attr=edge_attr)
        for block in self.blocks:
            hidden = block(hidden, *context)
        return self.leave(hidden, link_index=link_index)

    def enter(
        self,
        *,
        x: Float[Tensor, "nodes features"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        """Returns what the first block takes, and the edges; slots for a label that are not given are uniform."""
        if self.label_size and x.shape[1] == self.num_features:
            x = torch.cat([x, x.new_full((len(x), self.label_size), 1 / self.label_size)], 1)
        return x, (edge_index, edge_attr)

    def leave(
        self, hidden: Float[Tensor, "nodes d_model"], *, link_index: Int[Tensor, "2 links"] | None = None
    ) -> GraphOutputs:
        """Returns the answers from what the last block gave."""
        numbers = self.head(hidden)
        if self.level == "link":
            return link_answers(numbers, link_index)
        return {"logits": numbers, "values": numbers}
