"""The same objectives the slow way, from the equations: one node, one class and one layer at a time, nothing kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rk.fields import IGNORED


def row_normalised(x: Tensor) -> Tensor:
    """Returns each row divided by its length."""
    return torch.stack([row / (row.square().sum().sqrt() + 1e-8) for row in x])


def with_virtual_edges(edge_index: Tensor, labels: Tensor, both_ways: bool = True) -> Tensor:
    """Returns the edges of a graph and those between nodes with a label and the virtual node of their class."""
    count = len(labels)
    edges = edge_index.T.tolist()
    for node, label in enumerate(labels.tolist()):
        if label != IGNORED:
            edges.append([node, count + label])
            if both_ways:
                edges.append([count + label, node])
    return torch.tensor(edges).T


def gcn(x: Tensor, edge_index: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Returns D^-1/2 (A + I) D^-1/2 X W^T + b by dense matrices."""
    adjacency = torch.eye(len(x), dtype=x.dtype)
    for source, target in edge_index.T.tolist():
        adjacency[target, source] += 1
    degree = adjacency.sum(1)
    return adjacency / (degree.unsqueeze(1) * degree.unsqueeze(0)).sqrt() @ x @ weight.T + bias


def goodness_loss(hidden: Tensor, positive: Sequence[bool], threshold: float) -> Tensor:
    """Returns the sum over examples of -log of the probability sigmoid(goodness - threshold) of what they are."""
    total = hidden.new_zeros(())
    for row, true in zip(hidden, positive, strict=True):
        above = sum(unit * unit for unit in row) - threshold
        total = total - torch.log(1 / (1 + torch.exp(-above if true else above)))
    return total


def prototype_loss(hidden: Tensor, prototypes: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Returns the sum over examples of -log softmax(h . prototype / tau) of their class."""
    total = hidden.new_zeros(())
    for row, target in zip(hidden, targets.tolist(), strict=True):
        weights = [torch.exp((row * prototype).sum() / temperature) for prototype in prototypes]
        total = total - torch.log(weights[target] / sum(weights))
    return total


def single_forward(
    blocks: Sequence[nn.Module],
    layer: int,
    x: Tensor,
    edge_index: Tensor,
    known: Tensor,
    prototypes: Tensor,
    tau: float,
) -> Tensor:
    """Returns SF's summed loss of one layer."""
    hidden = states(blocks[: layer + 1], torch.cat([x, prototypes]), with_virtual_edges(edge_index, known))[-1]
    nodes = [node for node, label in enumerate(known.tolist()) if label != IGNORED]
    return prototype_loss(hidden[nodes], hidden[len(x) :], known[nodes], tau)


def single_forward_answer(
    blocks: Sequence[nn.Module], x: Tensor, edge_index: Tensor, known: Tensor, prototypes: Tensor, tau: float
) -> Tensor:
    """Returns the sum over the layers of each class's probability, (nodes, classes)."""
    total = x.new_zeros(len(x), len(prototypes))
    for hidden in states(blocks, torch.cat([x, prototypes]), with_virtual_edges(edge_index, known)):
        for node in range(len(x)):
            weights = torch.stack([torch.exp(hidden[node] @ row / tau) for row in hidden[len(x) :]])
            total[node] += weights / weights.sum()
    return total


def label_appending(
    blocks: Sequence[nn.Module],
    layer: int,
    x: Tensor,
    edge_index: Tensor,
    labels: Tensor,
    num_classes: int,
    theta: float,
    appended: bool,
) -> Tensor:
    """Returns FF-LA's summed loss of one layer: the true labels, then the mean over wrong ones, class by class.

    Args:
        blocks: The layers.
        layer: Which one.
        x: Features of the nodes.
        edge_index: Edges.
        labels: (views, nodes): the true labels, then wrong ones.
        num_classes: Classes.
        theta: The threshold.
        appended: Whether labels are behind the features; else in the place of the first ones.
    """
    nodes = [node for node, label in enumerate(labels[0].tolist()) if label != IGNORED]
    losses = []
    for view, given in enumerate(labels):
        rows = [_with_label(row, label, num_classes, appended) for row, label in zip(x, given.tolist(), strict=True)]
        hidden = states(blocks[: layer + 1], torch.stack(rows), edge_index)[-1][nodes]
        losses.append(goodness_loss(hidden, [view == 0] * len(nodes), theta))
    return losses[0] + sum(losses[1:]) / len(losses[1:])


def virtual_nodes(
    blocks: Sequence[nn.Module],
    layer: int,
    x: Tensor,
    edge_index: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    theta: float,
) -> Tensor:
    """Returns FF-VN's summed loss of one layer; wrong views take the true view's nodes from the layers below."""
    nodes = [node for node, label in enumerate(labels[0].tolist()) if label != IGNORED]
    true = with_virtual_edges(edge_index, labels[0])
    below = torch.cat([x, prototypes])
    if layer:
        below = states(blocks[:layer], below, true)[-1].detach()
    losses = []
    for view, given in enumerate(labels):
        hidden = blocks[layer](row_normalised(below), with_virtual_edges(edge_index, given))[nodes]
        losses.append(goodness_loss(hidden, [view == 0] * len(nodes), theta))
    return losses[0] + sum(losses[1:]) / len(losses[1:])


def link_forward(hidden: Tensor, links: Tensor, targets: Tensor) -> Tensor:
    """Returns FL's summed loss: -log of the probability sigmoid(sum of z) that a pair is what it is."""
    total = hidden.new_zeros(())
    for (source, target), linked in zip(links.T.tolist(), targets.tolist(), strict=True):
        logit = sum(a * b for a, b in zip(hidden[source], hidden[target], strict=True))
        total = total - torch.log(1 / (1 + torch.exp(-logit if linked else logit)))
    return total


def top_input(
    block: nn.Module, below: Tensor, above: Tensor, edges: Tensor, known: Tensor, num_classes: int, tau: float
) -> Tensor:
    """Returns SF-Top2Input's summed loss of a layer that reads what is below and above it."""
    hidden = block(torch.cat([row_normalised(below), row_normalised(above)], 1), edges)
    nodes = [node for node, label in enumerate(known.tolist()) if label != IGNORED]
    return prototype_loss(hidden[nodes], hidden[-num_classes:], known[nodes], tau)


def top_loss(
    block: nn.Module, below: Tensor, above: Sequence[Tensor], edges: Tensor, known: Tensor, num_classes: int, tau: float
) -> Tensor:
    """Returns SF-Top2Loss's summed loss of a layer: of its mean with the states of all layers above."""
    total = block(row_normalised(below), edges)
    for state in above:
        total = total + state.detach()
    mean = total / (1 + len(above))
    nodes = [node for node, label in enumerate(known.tolist()) if label != IGNORED]
    return prototype_loss(mean[nodes], mean[-num_classes:], known[nodes], tau)


def states(blocks: Sequence[nn.Module], x: Tensor, edge_index: Tensor) -> list[Tensor]:
    """Returns what each layer gives, from the bottom up; inputs are detached and normalised."""
    found = []
    for block in blocks:
        x = block(row_normalised(x.detach()), edge_index)
        found.append(x)
    return found


def _with_label(row: Tensor, label: int, num_classes: int, appended: bool) -> Tensor:
    slots = [1 / num_classes if label == IGNORED else float(c == label) for c in range(num_classes)]
    given = row.new_tensor(slots)
    return torch.cat([row, given]) if appended else torch.cat([given, row[num_classes:]])
