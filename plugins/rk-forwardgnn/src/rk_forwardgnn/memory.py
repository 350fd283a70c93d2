"""What a training step has to remember, by depth: forward learning keeps one layer, back-propagation all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import torch
from annotated_types import Ge
from rk_graphs.layers import GCN
from torch import Tensor, nn
from torch.nn import functional as F

from rk import Run, UserError
from rk.charts import chart, draw_lines, save
from rk.fields import IGNORED
from rk.protocols import Batch, Layered
from rk.writing import write_csv
from rk_forwardgnn.learner import ForwardLearner
from rk_forwardgnn.methods import METHODS, Settings
from rk_forwardgnn.model import GNNStack


class LayerMemory:
    """The memory of a training step by depth, of SF and of back-propagation, on the graph of a run.

    Counted are the bytes of all tensors that autograd saves for the backward pass (torch's saved_tensors_hooks), each
    storage once, weights left out. In forward learning that is the largest of the layers' own steps, together with the
    input of the layer, which is kept from step to step. Weights, gradients and optimizer states grow with the depth in
    both.

    Args:
        run: A run on a graph whose nodes have classes: the graph is all that is taken of it.
        max_depth: Layers of the deepest network.
        d_model: Width of every layer.

    Examples:
        rk analyze layer-memory --run last --max-depth 8
    """

    def __init__(self, run: Run, max_depth: Annotated[int, Ge(1)] = 8, d_model: Annotated[int, Ge(1)] = 128) -> None:
        self.run = run
        self.max_depth = max_depth
        self.d_model = d_model

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `layer-memory.csv` and a figure into `out`; returns MiB at depth 1 and at the largest depth."""
        batch = next(self.run.batches("train", 1))
        if "edge_index" not in batch or "link_index" in batch:
            raise UserError(
                "layer-memory needs a graph whose nodes have classes", "rk train forwardgnn/block-model-quick"
            )
        classes = int(self.run.data.num_classes)
        depths = range(1, self.max_depth + 1)
        found = {
            "forward learning": [forward_bytes(batch, classes, depth, self.d_model) / 2**20 for depth in depths],
            "back-propagation": [backward_bytes(batch, classes, depth, self.d_model) / 2**20 for depth in depths],
        }
        write_csv(out / "layer-memory.csv", ("depth", *found), zip(depths, *found.values(), strict=True))
        with chart(5, 3) as (figure, axis):
            draw_lines(axis, found, marker="o")
            axis.set_xlabel("layers")
            axis.set_ylabel("kept for the backward pass (MiB)")
            axis.set_ylim(bottom=0)
            save(figure, out / "layer-memory.png")
        return {
            f"{name}-{depth}": values[depth - 1]
            for name, values in (("forward", found["forward learning"]), ("backward", found["back-propagation"]))
            for depth in sorted({1, self.max_depth})
        }


def forward_bytes(batch: Batch, num_classes: int, depth: int, d_model: int) -> int:
    """Returns the most bytes that a step of any layer of SF saves, with the input that the layer keeps."""
    method = METHODS["single-forward"](Settings(num_classes))
    learner = ForwardLearner(cast(Layered, _stack(batch, num_classes, depth, d_model)), method)
    learner.look([batch])
    most = 0
    for layer in range(depth):
        learner.stage(batch, layer, "training")  # what is computed once does not belong to a step
        most = max(most, saved_bytes(learner, partial(_loss, learner, batch, layer)))
    return most


def _loss(learner: ForwardLearner, batch: Batch, layer: int) -> Tensor:
    total: Tensor = learner(batch, layer)[0]
    return total


def backward_bytes(batch: Batch, num_classes: int, depth: int, d_model: int) -> int:
    """Returns the bytes that a step of back-propagation through the same layers saves."""
    model = _stack(batch, num_classes, depth, d_model)

    def loss() -> Tensor:
        logits = model(x=batch["x"], edge_index=batch["edge_index"])["logits"]
        return F.cross_entropy(logits, batch["targets"], ignore_index=IGNORED)

    return saved_bytes(model, loss)


def _stack(batch: Batch, num_classes: int, depth: int, d_model: int) -> GNNStack:
    width = batch["x"].shape[1]
    model = GNNStack(
        layer=GCN, num_features=width, num_outputs=num_classes, level="node", d_model=d_model, num_layers=depth
    )
    return model.to(batch["x"])


def saved_bytes(module: nn.Module, forward: Callable[[], Tensor]) -> int:
    """Returns the bytes of all storages that autograd saves during `forward`, weights not counted."""
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    sizes: dict[int, int] = {}
    held = []  # alive until the end: no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes()
                held.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    del result
    return sum(sizes.values())
