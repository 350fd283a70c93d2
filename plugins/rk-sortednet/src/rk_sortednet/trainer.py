"""The trainer `sorted`: a sub-network, drawn at random, learns from each micro-batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import functional

from rk import Batch, Loss, Model, Objective, Optimizer, Runtime, UserError
from rk.sampling import generator
from rk_sortednet.nested import Nested, joined
from rk_sortednet.slicing import NORMS
from rk_sortednet.subnets import Subnet, grid

_STREAM = 0x736F72746564
"""Keeps the choice of sub-networks apart from all else that is drawn from `fit.seed`."""


class Sorted:
    """Trains a network so that its first units and blocks are networks by themselves (SortedNet, arXiv:2309.00255).

    Each micro-batch trains one sub-network, drawn from the grid of widths, heads and depths; with ``fit.accumulate``
    several of them make one update, as in the paper. The choice is a function of the seed, the step and the
    micro-batch, the same in all processes. The metrics of a sub-network have its name: ``test/accuracy@w0.25-d2``.

    Args:
        seed: Seeds the choice.
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.
        widths: Shares of the units that the layers give; the last must be 1.
        depths: Numbers of blocks, for a model that has some; the last must be all of them. none: always all.
        heads: Numbers of heads, for layers that declare some, such as `attention`; the last must be all of them. none:
            always all.
        layers: Patterns of the names of the linear layers and convolutions that are narrowed. The others take what they
            get: leave out the last layer, and those whose outputs are reshaped.
        sampling: `uniform`: each with the same probability. `weighted`: half of all draws are the whole network.
            `sandwich`: the largest, the smallest and one between, all on the same micro-batch. `all`: each of them on
            the same micro-batch. `whole`: only the whole network, the control.
        distill: With `sandwich` and `all`: sub-networks learn the answers of the whole network in place of the targets.
        per_layer: Each narrowed layer draws its own share of the widths: for networks whose layers are not added to
            each other, and without batch normalisation. The whole network and those that are measured have one share.
        measured: `all` sub-networks are measured, or only the `corners` of the grid.

    Examples:
        trainer: {name: sorted, optimizer: adam, widths: [0.25, 0.5, 1.0], layers: ["blocks.*", "stem"], depths: [1, 2,
        3]}
    """

    def __init__(
        self,
        seed: int,
        optimizer: Optimizer | dict[str, Optimizer],
        layers: tuple[str, ...] = (),
        widths: tuple[Annotated[float, Gt(0), Le(1)], ...] = (1.0,),
        depths: tuple[Annotated[int, Ge(1)], ...] = (),
        heads: tuple[Annotated[int, Ge(1)], ...] = (),
        sampling: Literal["uniform", "weighted", "sandwich", "all", "whole"] = "uniform",
        distill: bool = False,
        per_layer: bool = False,
        measured: Literal["all", "corners"] = "all",
    ) -> None:
        if not widths or max(widths) != 1:
            raise ValueError("widths must contain 1.0, the whole network")
        if len(widths) > 1 and not layers:
            raise ValueError("layers must name the layers that are narrowed")
        if distill and sampling not in ("sandwich", "all"):
            raise ValueError(f"distill needs sampling sandwich or all, got {sampling}")
        if per_layer and len(widths) < 2:
            raise ValueError("per_layer needs several widths")
        self.per_layer = per_layer
        self.widths = widths
        self.seed = seed
        self.factory = optimizer
        self.layers = layers
        self.subnets = grid(widths, depths or (None,), heads or (None,))
        self.sampling = sampling
        self.distill = distill
        ends = [(s, ((s.width, widths), (s.heads, heads), (s.depth, depths))) for s in self.subnets]
        corners = [s for s, sides in ends if all(not values or _is_end(value, values) for value, values in sides)]
        self.measured: Sequence[Subnet] = self.subnets if measured == "all" else corners

    def setup(self, *, model: Model, loss: Loss, runtime: Runtime) -> Nested:
        self.runtime = runtime
        self.learner = Nested(model, loss, self.subnets, self.layers, self.measured)
        if self.per_layer and any(isinstance(m, NORMS) for m in self.learner.modules()):
            raise UserError(
                "batch normalisation has statistics for each width, not for each layer's", "per_layer=false"
            )
        self.objective = runtime.setup(self.learner)
        self.optimizers = runtime.optimizers(self.factory, self.learner)
        return self.learner

    def step(self, batch: Batch) -> dict[str, Tensor]:
        place = self.runtime.step or 0, self.runtime.micro_batch
        drawn = self.drawn(*place)
        if self.per_layer:
            drawn = [self.mixed(subnet, i, *place) for i, subnet in enumerate(drawn)]
        logs = self.runtime.backward(
            joined(self._distilled(drawn, batch) if self.distill else self._summed(drawn, batch))
        )
        self.runtime.update(*self.optimizers)
        return logs

    def _summed(self, drawn: Sequence[Subnet], batch: Batch) -> list[Objective]:
        """Returns the objectives; sub-networks that differ in depth alone are exits of one pass."""
        passes: dict[Subnet, list[Subnet]] = {}
        for subnet in drawn:
            passes.setdefault(dataclasses.replace(subnet, depth=None), []).append(subnet)
        objectives = []
        for subnets in passes.values():
            with self.learner.at(*subnets):
                objectives.append(self.objective(batch))
        return objectives

    def _distilled(self, drawn: Sequence[Subnet], batch: Batch) -> list[Objective]:
        """Returns the objective of the whole network, which is first, and the others' distances from its answers."""
        objectives = []
        teacher: Tensor | None = None
        for subnet in drawn:
            with self.learner.at(subnet):
                if teacher is None:
                    objectives.append(self.objective(batch))
                    with torch.no_grad():
                        teacher = self.learner.predict(batch)["logits"].log_softmax(-1)
                else:
                    objectives.append(_towards(teacher, self.learner.predict(batch)["logits"]))
        return objectives

    def mixed(self, subnet: Subnet, number: int, step: int, micro_batch: int) -> Subnet:
        """Returns a sub-network with a share drawn for each layer; the whole one as it is."""
        if subnet == self.learner.whole or self.learner.width is None:
            return subnet
        random = generator(self.seed, _STREAM, step, micro_batch, number)
        chosen = torch.randint(len(self.widths), (len(self.learner.width.chosen),), generator=random)
        return dataclasses.replace(subnet, shares=tuple(self.widths[i] for i in chosen.tolist()))

    def drawn(self, step: int, micro_batch: int) -> list[Subnet]:
        """Returns the sub-networks that learn from a micro-batch, the whole one first where it is among them."""
        subnets = self.subnets
        if self.sampling == "whole" or len(subnets) == 1:
            return [subnets[-1]]
        if self.sampling == "all":
            return subnets[::-1]
        random = generator(self.seed, _STREAM, step, micro_batch)
        if self.sampling == "sandwich":
            between = subnets[1:-1]
            chosen = [between[int(torch.randint(len(between), (), generator=random))]] if between else []
            return [subnets[-1], *chosen, subnets[0]]
        if self.sampling == "weighted" and float(torch.rand((), generator=random)) < 0.5:
            return [subnets[-1]]
        return [subnets[int(torch.randint(len(subnets), (), generator=random))]]


def _is_end(value: float | None, values: Sequence[float]) -> bool:
    return value in (min(values), max(values))


def _towards(teacher: Tensor, logits: Tensor) -> Objective:
    """Returns the Kullback-Leibler divergence of the answers from those of the whole network."""
    divergence = functional.kl_div(logits.log_softmax(-1), teacher, reduction="sum", log_target=True)
    return divergence, logits.numel() // logits.shape[-1]
