"""The trainer `forward-local`: layers that learn one after the other, or all at once, without back-propagation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from rk import Runtime, UserError
from rk.errors import suggest
from rk.protocols import Batch, Data, Decode, Layered, Optimizer
from rk_forwardgnn.learner import ForwardLearner
from rk_forwardgnn.methods import METHODS, Settings
from rk_forwardgnn.topdown import TopDownLearner

TOP_DOWN = ("sf-top-input", "sf-top-loss")


class ForwardLocal:
    """Forward learning (arXiv:2403.11004): each layer has its own objective and optimizer; no gradient crosses layers.

    Layers are trained in their order. One ends after `layer_steps`, or when the answer of the layers up to it has not
    improved for `patience` validations; it then gets back the weights of its best validation, and its output is the
    constant input of the next one. The run ends with the last layer, so `fit.max_steps` can be left out; a run that it
    ends earlier keeps the last weights of its layer. The methods with signals from above train all layers in each step,
    and end likewise.

    Any layered model can be trained: those of graphs, and of images, where the virtual nodes become random images.

    Args:
        optimizer: The optimizer of each layer, and its schedule, stretched over the steps of a layer.
        seed: Draws the prototypes and the orders of wrong classes.
        num_classes: Classes.
        method: What a layer learns from. `ff-label`: labels among the features, true against wrong (FF-LA);
            `ff-virtual`: edges to virtual nodes, likewise (FF-VN); `single-forward`: inner products with the virtual
            node of each class (SF); `sf-top-input`, `sf-top-loss`: SF with signals from above; `fl-link`, `ff-link`:
            links, by products of two nodes.
        threshold: The goodness that parts true from wrong (theta); methods of FF.
        temperature: Divides inner products (tau); methods of SF.
        num_negatives: Wrong classes of an item that are shown in each step; more than there are: all.
        virtual_edges: Whether edges lead to virtual nodes alone (`to`), or to them and back (`both`).
        layer_steps: The most steps of a layer.
        patience: Validations in a row without an improvement after which a layer ends.
        monitor: The number by which a layer ends and its best weights are chosen; of `.../loss`, less is better. null:
            layers end after `layer_steps`, with their last weights.
        alternating_update: Whether even layers are updated before odd ones in each step of `sf-top-input`.
        test_time_steps: Time steps of an answer of `sf-top-input`.

    Examples:
        trainer: {name: forward-local, method: single-forward, optimizer: {name: adam, lr: 1e-2, weight_decay: 5e-4}}
    """

    learner: ForwardLearner

    def __init__(
        self,
        optimizer: Optimizer,
        seed: int,
        num_classes: int,
        method: Literal[
            "ff-label", "ff-virtual", "single-forward", "sf-top-input", "sf-top-loss", "fl-link", "ff-link"
        ] = "single-forward",
        threshold: Annotated[float, Gt(0)] = 2.0,
        temperature: Annotated[float, Gt(0)] = 1.0,
        num_negatives: Annotated[int, Ge(1)] = 100,
        virtual_edges: Literal["both", "to"] = "both",
        layer_steps: Annotated[int, Ge(1)] = 1000,
        patience: Annotated[int, Ge(1)] = 100,
        monitor: str | None = "val/accuracy",
        alternating_update: bool = True,
        test_time_steps: Decode[Annotated[int, Ge(1)]] = 10,
    ) -> None:
        self.factory = optimizer
        self.name = method
        self.settings = Settings(num_classes, threshold, temperature, num_negatives, virtual_edges == "both", seed)
        self.layer_steps = layer_steps
        self.patience = patience
        self.monitor = monitor
        self.alternating = alternating_update
        self.time_steps = test_time_steps
        self.layer = 0
        self.updates = 0
        self.ends = False
        self.waited = 0
        self.best: float | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.states: list[Tensor] = []
        self.optimizers: dict[int, torch.optim.Optimizer | None] = {}

    @property
    def together(self) -> bool:
        """Whether all layers learn in each step."""
        return self.name in TOP_DOWN

    def setup(self, *, model: Layered, data: Data, runtime: Runtime) -> ForwardLearner:
        method = METHODS[self.name](self.settings)
        level = getattr(data, "level", None)
        if method.wants_links != (level == "link"):
            wanted = "about links" if level == "link" else "with classes of items"
            raise UserError(
                f"the data is {wanted}: the method {self.name} does not fit",
                "method: fl-link or ff-link" if level == "link" else "method: single-forward",
            )
        if level == "graph":
            raise UserError("forward-local answers nodes, links and images; the data asks about whole graphs")
        if level is None and (method.wants_graph or self.together):
            raise UserError(f"the method {self.name} needs a graph", "method: single-forward or ff-label")
        if self.together:
            reads = self.name == "sf-top-input"
            self.learner = TopDownLearner(model, method, reads, self.alternating, self.time_steps)
        else:
            self.learner = ForwardLearner(model, method)
        self.data, self.runtime = data, runtime
        self.call = runtime.setup(self.learner)
        return self.learner

    def begin(self, data: Data, runtime: Runtime) -> None:
        """Takes the labels of the training nodes, and draws the prototypes."""
        self.learner.look(runtime.batches(data, "train", limit=2))

    def step(self, batch: Batch) -> dict[str, Tensor] | None:
        if not len(self.learner.prototypes):
            self.begin(self.data, self.runtime)
        if self.ends or self.updates >= self.layer_steps:
            self._end()
        if self.layer >= len(self.learner.model.blocks):
            return None
        learner = self.learner
        logs = self._all(batch, learner) if isinstance(learner, TopDownLearner) else self._one(batch)
        if self.runtime.micro_batch == self.runtime.accumulate - 1:
            self.updates += 1
        return logs

    def _one(self, batch: Batch) -> dict[str, Tensor]:
        self.learner.depth = self.layer + 1
        optimizer = self._optimizer(self.layer)
        logs = self.runtime.backward(self.call(batch, self.layer))
        if optimizer is not None:
            self.runtime.update(optimizer)
        return logs

    def _all(self, batch: Batch, learner: TopDownLearner) -> dict[str, Tensor]:
        """Updates all layers, each from what the others gave before."""
        if not self.states:
            self.states = learner.bottom_up(batch)
        losses = []
        for turn in learner.turns():
            fresh: dict[int, Tensor] = {}
            for layer in turn:
                optimizer = self._optimizer(layer)
                losses.append(self.runtime.backward(self.call(batch, layer, self.states))["loss"])
                fresh[layer] = learner.reached
                if optimizer is not None:
                    self.runtime.update(optimizer, whole=True)
            self.states = [fresh.get(i, state) for i, state in enumerate(self.states)]
        return {"loss": torch.stack(losses).sum()}

    def _optimizer(self, layer: int) -> torch.optim.Optimizer | None:
        if layer not in self.optimizers:
            params = self.learner.model.blocks[layer].parameters()
            name = f"layer-{layer + 1}"
            self.optimizers[layer] = self.runtime.optimizer(self.factory, params, name, updates=self.layer_steps)
        return self.optimizers[layer]

    # -- when a layer ends ---------------------------------------------------------------------------------------------

    def validated(self, metrics: Mapping[str, float]) -> None:
        """Keeps the weights of the best validation of a layer; ends it when it no longer improves."""
        if self.monitor is None or self.layer >= len(self.learner.model.blocks) or not self.updates:
            return
        if self.monitor not in metrics:
            raise UserError(
                f"trainer.monitor: there is no {self.monitor!r}", suggest(self.monitor, metrics, "there are")
            )
        value = metrics[self.monitor] * (-1 if self.monitor.endswith("/loss") else 1)
        if self.best is None or value > self.best:
            self.best, self.waited = value, 0
            self.best_weights = {name: weight.detach().clone() for name, weight in self._trained().items()}
        else:
            self.waited += 1
            self.ends = self.waited >= self.patience

    def _trained(self) -> dict[str, Tensor]:
        """Returns the weights and statistics that this phase trains, by their names in the list of blocks."""
        state = self.learner.model.blocks.state_dict()
        return {n: v for n, v in state.items() if self.together or n.startswith(f"{self.layer}.")}

    def _end(self) -> None:
        """Gives the layer its best weights, and turns to the next one."""
        with torch.no_grad():
            trained = self._trained()
            for name, value in self.best_weights.items():
                trained[name].copy_(value)
        self.layer = len(self.learner.model.blocks) if self.together else self.layer + 1
        self.updates, self.ends, self.waited, self.best, self.best_weights = 0, False, 0, None, {}
        self.states = []

    def results(self) -> dict[str, float]:
        """Returns how many layers were trained to their end."""
        return {"layers": float(self.layer)}

    def state_dict(self) -> dict[str, Any]:
        return {
            "layer": self.layer,
            "updates": self.updates,
            "ends": self.ends,
            "waited": self.waited,
            "best": self.best,
            "best_weights": self.best_weights,
            "states": self.states,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("layer", "updates", "ends", "waited", "best", "best_weights", "states"):
            setattr(self, name, state[name])
