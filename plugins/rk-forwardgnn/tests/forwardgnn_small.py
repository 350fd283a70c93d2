"""A small graph, and learners over it, in double precision."""

from __future__ import annotations

from functools import partial

import torch
from rk_forwardgnn.learner import ForwardLearner
from rk_forwardgnn.methods import METHODS, Settings
from rk_forwardgnn.model import GNNStack
from rk_forwardgnn.topdown import TopDownLearner
from rk_graphs.layers import GAT, GCN, GIN, SAGE, NodeMLP
from torch import nn

from rk.fields import IGNORED

CLASSES, NODES, FEATURES = 3, 12, 7
LAYERS = {
    "gcn": GCN,
    "sage": SAGE,
    "gat": partial(GAT, num_heads=2),
    "gin": partial(GIN, batch_norm=False),
    "node-mlp": NodeMLP,
}


def graph(seed: int = 0, asked: slice = slice(0, 8)) -> dict[str, torch.Tensor]:
    """Returns a graph whose first nodes have targets."""
    random = torch.Generator().manual_seed(seed)
    upper = (torch.rand(NODES, NODES, generator=random) < 0.25).triu(1)
    source, target = upper.nonzero(as_tuple=True)
    targets = torch.full((NODES,), IGNORED)
    targets[asked] = (torch.arange(NODES) % CLASSES)[asked]
    return {
        "x": torch.rand(NODES, FEATURES, generator=random).double(),
        "edge_index": torch.cat([torch.stack([source, target]), torch.stack([target, source])], 1),
        "targets": targets,
    }


def links() -> dict[str, torch.Tensor]:
    """Returns the graph with pairs of nodes, half of which are linked."""
    batch = graph()
    pairs = torch.tensor([[0, 1, 2, 3], [5, 6, 7, 9]])
    return batch | {"link_index": pairs, "targets": torch.tensor([1, 0, 1, 0])}


def loud(module: nn.Module) -> nn.Module:
    """Makes weights large enough that every input matters."""
    torch.manual_seed(5)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return module.double()


def stack(layer: str = "gcn", **settings) -> GNNStack:
    given = {"num_features": FEATURES, "num_outputs": CLASSES, "level": "node", "d_model": 6, "num_layers": 3}
    torch.manual_seed(2)
    return loud(GNNStack(layer=LAYERS[layer], **(given | settings)))


def learner(method: str, model: nn.Module | None = None, look: dict | None = None, **settings) -> ForwardLearner:
    """Returns a learner that has looked at the training batch."""
    chosen = METHODS[method](Settings(CLASSES, **settings))
    if method.startswith("sf-top"):
        reads = "above" if method == "sf-top-input" else "features"
        found = TopDownLearner(model or stack(reads=reads), chosen, reads == "above")
    else:
        found = ForwardLearner(model or stack(), chosen)
    found.look([graph() if look is None else look])
    return found
