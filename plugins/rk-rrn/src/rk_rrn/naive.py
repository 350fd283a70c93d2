"""The recurrence as the paper writes it, for readers and for tests: loops over edges, concatenated inputs."""

# A twin of `Recurrence`, with the same weights. arXiv:1711.08028, Eq. 1 to 3.

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rk_rrn.mlp import MLP
from rk_rrn.recurrence import Recurrence


def mlp(net: MLP, *parts: Float[Tensor, "*rows size"]) -> Float[Tensor, "*rows out"]:
    """Maps concatenated inputs by the layers of `net`: f of Eq. 1."""
    x = torch.relu(net.first(torch.cat(parts, -1)))
    for layer in net.hidden:
        x = torch.relu(layer(x))
    return net.last(x)


def recurrence(
    net: Recurrence,
    x: Float[Tensor, "v d"],
    neighbours: list[list[int]],
    num_steps: int,
    edge_features: dict[tuple[int, int], Float[Tensor, "features"]] | None = None,
) -> Float[Tensor, "steps v d"]:
    """Returns the nodes of one graph after each step (Eq. 1, Eq. 2, Eq. 3), with a loop over its edges.

    Args:
        net: Where the weights are; it sums messages.
        x: (v, d) What the nodes begin with.
        neighbours: The senders i to each node j.
        num_steps: Steps.
        edge_features: (i, j) -> (features,).
    """
    update, nodes = net.update, range(len(x))
    hidden = list(x)
    memory = [_empty(update.kind, x[j]) for j in nodes]
    steps = []
    for _ in range(num_steps):
        arrived = []
        for j in nodes:
            total = torch.zeros_like(x[j])
            for i in neighbours[j]:
                edge = () if edge_features is None else (edge_features[i, j],)
                total = total + mlp(net.messages.f, hidden[i], hidden[j], *edge)  # Eq. 1, 2
            arrived.append(total)
        for j in nodes:  # Eq. 3
            if update.kind == "mlp":
                hidden[j] = mlp(update.post, x[j], arrived[j], hidden[j])
                continue
            post = mlp(update.post, x[j], arrived[j]).unsqueeze(0)
            if isinstance(update.cell, nn.LSTMCell):
                memory[j] = update.cell(post, memory[j])
            elif update.cell is not None:
                memory[j] = (update.cell(post, memory[j][0]),)
            hidden[j] = memory[j][0].squeeze(0)
        steps.append(torch.stack(hidden))
    return torch.stack(steps)


def _empty(kind: str, x: Float[Tensor, "d"]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(x).unsqueeze(0) for _ in range({"lstm": 2, "gru": 1, "mlp": 0}[kind]))


def concatenated_step(
    net: Recurrence, hidden: Float[Tensor, "v b d"], neighbours: list[list[int]]
) -> Float[Tensor, "v b d"]:
    """Returns the summed messages by one concatenation of both ends of every edge and a scatter: the usual form."""
    target = torch.tensor([j for j, row in enumerate(neighbours) for _ in row])
    source = torch.tensor([i for row in neighbours for i in row])
    messages = mlp(net.messages.f, hidden[source], hidden[target])
    return torch.zeros_like(hidden).index_add(0, target, messages)
