"""What all recurrent relational networks here share: the recurrence, the number of steps, the readout."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from jaxtyping import Float
from torch import Tensor, nn

from rk.protocols import Aggregator, Decode, Factory
from rk_rrn.fields import StepOutputs
from rk_rrn.graph import Edges
from rk_rrn.mlp import MLP, linear
from rk_rrn.recurrence import Recurrence
from rk_rrn.update import NodeUpdate

Level = Literal["node", "graph"]
"""What is answered: each node, or the graph."""


class RelationalNetwork(nn.Module):
    """A recurrent relational network without its input: models extend it by what makes the nodes.

    Args:
        input_size: Width of what a node is before `pre`.
        edge_size: Features of an edge; 0: none.
        num_classes: Classes of an answer.
        level: Whether each `node` is answered, or the `graph`: from the sum of its nodes.
        hidden_size: Width of nodes, messages and MLPs.
        num_steps: Steps in training. 1 makes a relation network (arXiv:1706.01427) of it.
        test_steps: Steps of an answer; null: as in training.
        mlp_layers: Hidden layers of the MLPs for nodes, messages and updates; a linear layer follows them.
        output_layers: Hidden layers of the MLP behind the sum of a graph's nodes.
        output_dropout: Share of the units of that MLP that is dropped in training.
        node_update: How a node takes what arrived: `lstm`, `gru`, or `mlp`, which has no memory.
        aggregator: What puts the messages to a node into one; null: their sum.
        checkpoint_steps: Computes each step again in the backward pass: memory of one step in place of all.
    """

    def __init__(
        self,
        *,
        input_size: int,
        edge_size: int,
        num_classes: int,
        level: Level,
        hidden_size: Annotated[int, Ge(1)] = 96,
        num_steps: Annotated[int, Ge(1)] = 32,
        test_steps: Decode[Annotated[int, Ge(1)] | None] = None,
        mlp_layers: Annotated[int, Ge(1)] = 3,
        output_layers: Annotated[int, Ge(1)] = 2,
        output_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        node_update: NodeUpdate = "lstm",
        aggregator: Factory[Aggregator] | None = None,
        checkpoint_steps: bool = False,
    ) -> None:
        super().__init__()
        self.level = level
        self.num_steps = num_steps
        self.test_steps = test_steps
        self.pre = MLP((input_size,), hidden_size, hidden_size, mlp_layers)
        self.recurrence = Recurrence(hidden_size, mlp_layers, edge_size, node_update, aggregator, checkpoint_steps)
        self.out: nn.Module
        if level == "node":
            self.out = linear(hidden_size, num_classes)
        else:
            self.out = MLP((hidden_size,), hidden_size, num_classes, output_layers, output_dropout)

    def answer(
        self,
        nodes: Float[Tensor, "v b input"],
        edges: Edges,
        edge_features: Float[Tensor, "v k b features"] | None = None,
    ) -> StepOutputs:
        """Returns the answers after each step (arXiv:1711.08028, Eq. 4).

        Args:
            nodes: (v, b, input_size) The nodes before `pre`.
            edges: Which node gets messages from which. A mask of (1, k, b) says which nodes a dense graph has.
            edge_features: Of a shape that broadcasts to (v, k, b, edge_size).
        """
        steps = self.num_steps if self.training else self.test_steps or self.num_steps
        hidden = self.recurrence(self.pre(nodes), edges, steps, edge_features)
        if self.level == "graph":
            if edges.neighbours is None and edges.mask is not None:  # nodes of padding are in no sum
                hidden = hidden * edges.mask[0].unsqueeze(-1)
            step_logits = self.out(hidden.sum(1)).transpose(0, 1)
        else:
            step_logits = self.out(hidden).permute(2, 0, 1, 3)
        return {"logits": step_logits[:, -1], "step_logits": step_logits}


def nodes_first(x: Float[Tensor, "b v d"]) -> Float[Tensor, "v b d"]:
    """Returns a batch of nodes in the layout of `RelationalNetwork.answer`."""
    return torch.movedim(x, 1, 0).contiguous()
