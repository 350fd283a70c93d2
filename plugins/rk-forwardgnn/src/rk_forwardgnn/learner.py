"""The learner of `forward-local`: a layered model whose layers learn alone and answer together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Batch, Layered, Objective
from rk.sampling import generator
from rk_forwardgnn.methods import Method
from rk_forwardgnn.settled import Settled
from rk_forwardgnn.views import Views, item_field

GRAPH = ("x", "edge_index", "edge_attr")
"""The fields by which a graph is known again."""


class LayerOutputs(TypedDict):
    """The answer of all layers, and that of the layers up to each."""

    logits: Float[Tensor, "items classes"]
    depth_logits: Float[Tensor, "items depth classes"]


@dataclass
class Stage:
    """A layer with the input that it has on a graph, while the layers below it stay as they are.

    Attributes:
        graph: The tensors of the graph and the labels, with their versions.
        weights: Which weights the layers below have.
        views: What the blocks take.
        settled: The layer with its input.
        readouts: What the answer needs of the layers below.
    """

    graph: list[tuple[Tensor | None, int]]
    weights: tuple[tuple[int, int], ...]
    views: Views
    settled: Settled
    readouts: list[Tensor]


class ForwardLearner(nn.Module):
    """A layered model, the labels of its training nodes, and a prototype of each class.

    Args:
        model: The model; its blocks are trained.
        method: What a layer learns from.

    Attributes:
        depth: Layers that answer: those that are trained, and the one that is being trained.
        known: (nodes,) The classes of the training nodes of a graph; `IGNORED` for all others. Empty without a graph.
        prototypes: (classes, *shape) Fixed random features of a virtual node of each class.
        cached: Whether what layers gather on a graph is kept from step to step.
    """

    lazy_buffers = ("known", "prototypes")
    known: Int[Tensor, "nodes"]
    prototypes: Float[Tensor, "classes *shape"]

    def __init__(self, model: Layered, method: Method) -> None:
        super().__init__()
        self.model = model
        self.method = method
        self.depth = 1
        self.cached = True
        self.register_buffer("known", torch.empty(0, dtype=torch.int64))
        self.register_buffer("prototypes", torch.empty(0))
        self._stages: dict[str, Stage] = {}

    # -- what is known before the first step ---------------------------------------------------------------------------

    def look(self, batches: Iterable[Batch]) -> None:
        """Takes the labels of the training nodes, and draws the prototypes.

        Args:
            batches: Those of the training split. Only the first one is read.

        Raises:
            UserError: When a batch is a part of a graph: its nodes could not be found again.
        """
        for i, batch in enumerate(batches):
            if i == 0:
                self.draw(batch)
                if "edge_index" in batch and not self.method.wants_links:
                    self.known = batch["targets"].clone()
            elif "edge_index" in batch:
                raise UserError(
                    "forward-local needs the whole graph in each batch, but training has several batches",
                    "data.batch_size: null",
                )
            else:
                return

    def draw(self, batch: Batch) -> None:
        """Draws the prototypes for items of the shape that `batch` has, unless they are there."""
        like = batch[item_field(batch)]
        if not len(self.prototypes):
            shape = (self.method.num_classes, *like.shape[1:])
            random = generator(self.method.settings.seed, "prototypes")
            self.prototypes = torch.randn(shape, generator=random).to(like)

    def labels_of(self, batch: Batch) -> Int[Tensor, "items"]:
        """Returns the known labels of the items of a batch: of another graph, or of images, none is known."""
        items = len(batch[item_field(batch)])
        if len(self.known) == items:
            return self.known
        return torch.full((items,), IGNORED, device=self.prototypes.device)

    # -- objective and answer ------------------------------------------------------------------------------------------

    def forward(self, batch: Batch, layer: int | None = None) -> Objective:
        """Returns the objective of one layer, whose input is constant: no gradient reaches the layers below.

        Args:
            batch: Items and targets.
            layer: Number of the layer, from 0; None: the last one that answers.
        """
        number = self.depth - 1 if layer is None else layer
        stage = self.stage(batch, number, "training" if self.training else "measuring")
        return self.method.share(stage.settled(), stage.views, batch)

    def predict(self, batch: Batch) -> LayerOutputs:
        """Answers by the sum over the layers; of the batch's targets nothing is read."""
        stage = self.stage(batch, self.depth - 1, "answering")
        last = self.method.readout(stage.settled(), stage.views)
        return self.outputs([self.method.scores(kept, batch) for kept in (*stage.readouts, last)])

    def outputs(self, scores: list[Float[Tensor, "items classes"]]) -> LayerOutputs:
        """Returns the answers, of the scores of each layer."""
        joined = self.method.joined(torch.stack(scores, 1))
        return {"logits": joined[:, -1], "depth_logits": joined}

    def stage(self, batch: Batch, layer: int, purpose: str) -> Stage:
        """Returns a layer with its input, kept from the last call where graph, labels and weights are the same.

        Args:
            batch: The items.
            layer: Number of the layer, from 0.
            purpose: ``training`` or ``measuring``: the views of the objective; ``answering``: those of the answer.
        """
        self.draw(batch)
        name = item_field(batch)
        if batch[name].dtype != self.prototypes.dtype:  # what is computed once is computed in full precision
            batch = {**batch, name: batch[name].to(self.prototypes.dtype)}
        answers = purpose == "answering"
        of_graph = "edge_index" in batch and self.cached and not torch.compiler.is_compiling()
        purpose = "all" if self.method.same_views else purpose
        read = [batch.get(name) for name in GRAPH] + [self.labels_of(batch)]
        if not self.method.same_views and not answers:
            read.append(batch["targets"])
        weights = self._weights(layer)
        stage = self._stages.get(purpose)
        if of_graph and stage is not None and stage.weights == weights and _unchanged(stage.graph, read):
            return stage
        make = self.method.answering if answers else self.method.training
        with torch.no_grad(), _resting(self.model.blocks[:layer], self.model):
            views = make(self.model, batch, self.labels_of(batch), self.prototypes)
            hidden, readouts = views.hidden.normalised(), []
            for block in self.model.blocks[:layer]:
                given = Settled(block, hidden, views.context, of_graph)()
                if answers or self.method.same_views:
                    readouts.append(self.method.readout(given, views))
                hidden = views.handed_on(given)
            settled = Settled(self.model.blocks[layer], hidden, views.context, of_graph)
        graph = [(value, 0 if value is None else value._version) for value in read]
        stage = Stage(graph, weights, views, settled, readouts)
        if of_graph:
            self._stages[purpose] = stage
        return stage

    def _weights(self, layer: int) -> tuple[tuple[int, int], ...]:
        """Returns what changes when the layers below, or the layer itself, are no longer what they were."""
        above = {id(p) for block in self.model.blocks[layer:] for p in block.parameters()}
        tensors: list[Tensor] = [p for p in self.model.parameters() if id(p) not in above]
        tensors += [b for block in self.model.blocks[:layer] for b in block.buffers()]
        found = [(id(t), t._version) for t in tensors]
        return (*found, (id(self.model.blocks[layer]), layer))

    def __deepcopy__(self, memo: dict[int, Any]) -> ForwardLearner:
        """Copies without what is kept: it belongs to these blocks."""
        import copy

        other = self.__class__.__new__(self.__class__)
        memo[id(self)] = other
        kept, self._stages = self._stages, {}
        try:
            other.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        finally:
            self._stages = kept
        return other

    def get_extra_state(self) -> dict[str, int]:
        """Returns how many layers answer."""
        return {"depth": self.depth}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Takes `get_extra_state`'s result back."""
        self.depth = state["depth"]


def _unchanged(before: list[tuple[Tensor | None, int]], now: list[Tensor | None]) -> bool:
    """Whether these are the tensors of before, or equal ones."""
    return len(before) == len(now) and all(
        _same(old, version, new) for (old, version), new in zip(before, now, strict=True)
    )


def _same(old: Tensor | None, version: int, new: Tensor | None) -> bool:
    if old is None or new is None:
        return old is new
    if old._version != version:  # changed in place
        return False
    return old is new or (old.shape == new.shape and torch.equal(old, new))


@contextlib.contextmanager
def _resting(blocks: Iterable[nn.Module], model: Any) -> Iterator[None]:
    """Puts what is not being trained into eval mode: no dropout, no statistics that move.

    Args:
        blocks: The blocks below the one that is trained.
        model: The layered model: a module, which the protocol does not show.
    """
    own = {id(m) for block in model.blocks for m in block.modules()}
    modules = [m for m in model.modules() if id(m) not in own] + [m for block in blocks for m in block.modules()]
    was = [m.training for m in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, mode in zip(modules, was, strict=True):
            module.training = mode
