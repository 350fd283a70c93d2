"""The recurrence: messages and node updates with the same weights in every step."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rk.protocols import Aggregator, Factory
from rk_rrn.graph import Edges
from rk_rrn.messages import Messages
from rk_rrn.update import NodeUpdate, State, Update


class Recurrence(nn.Module):
    """Runs steps of messages and updates from node inputs x, and returns the nodes after every step.

    Args:
        hidden_size: Width of a node.
        num_layers: Hidden layers of each MLP.
        edge_size: Features of an edge.
        node_update: How a node takes what arrived.
        aggregator: What puts the messages to a node into one; None: the sum.
        checkpoint_steps: Computes each step again in the backward pass rather than keep what it needs.
    """

    def __init__(
        self,
        hidden_size: int,
        num_layers: int,
        edge_size: int = 0,
        node_update: NodeUpdate = "lstm",
        aggregator: Factory[Aggregator] | None = None,
        checkpoint_steps: bool = False,
    ) -> None:
        super().__init__()
        self.messages = Messages(hidden_size, num_layers, edge_size, aggregator)
        self.update = Update(hidden_size, num_layers, node_update)
        self.checkpoint_steps = checkpoint_steps

    def forward(
        self,
        x: Float[Tensor, "v b d"],
        edges: Edges,
        num_steps: int,
        edge_features: Float[Tensor, "v k b features"] | None = None,
    ) -> Float[Tensor, "steps v b d"]:
        """Returns the nodes after steps 1 to `num_steps`.

        Args:
            x: (v, b, d) What the nodes begin with; each step reads it again.
            edges: Which node gets messages from which.
            num_steps: How often the step is made; as many as one likes.
            edge_features: Of a shape that broadcasts to (v, k, b, features).
        """
        edge_share = None if edge_features is None else self.messages.edge_share(edge_features)
        share, memory = self.update.begin(x)
        hidden, steps = x, []
        again = self.checkpoint_steps and torch.is_grad_enabled()
        for _ in range(num_steps):
            if again:
                hidden, memory = checkpoint(self._step, hidden, memory, share, edges, edge_share, use_reentrant=False)
            else:
                hidden, memory = self._step(hidden, memory, share, edges, edge_share)
            steps.append(hidden)
        return torch.stack(steps)

    def _step(
        self, hidden: Tensor, memory: State, share: Tensor, edges: Edges, edge_share: Tensor | None
    ) -> tuple[Tensor, State]:
        return self.update(self.messages(hidden, edges, edge_share), hidden, share, memory)
