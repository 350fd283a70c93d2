"""The learner of `sorted`: a model, its loss, and the sub-network at which both run."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from torch import nn

from rk import Batch, Loss, Model, Objective, Outputs, UserError
from rk.binding import Bound
from rk.blocks import run_exits
from rk_sortednet.slicing import Width
from rk_sortednet.subnets import Subnet


class Nested(nn.Module):
    """A model with its loss, which runs as one of its sub-networks.

    Args:
        model: The model; with `depths`, one with blocks (`rk.Layered`).
        loss: Its loss.
        subnets: What is trained; the largest is the whole network.
        layers: Patterns of the names of the model's layers that are narrowed.
        measured: The sub-networks that are measured beside the whole one.

    Attributes:
        subnet: The sub-network at which `forward` and `predict` run.
    """

    def __init__(
        self, model: Model, loss: Loss, subnets: Sequence[Subnet], layers: Sequence[str], measured: Sequence[Subnet]
    ) -> None:
        super().__init__()
        self.model = cast(Any, model)  # a module, with blocks where there are depths
        self.loss = loss
        self.whole = subnets[-1]
        self.subnet = self.whole
        self.exits: set[int | None] = set()
        self.measured = [subnet for subnet in measured if subnet != self.whole]
        widths = sorted({s.width for s in subnets})
        heads = sorted({s.heads for s in subnets if s.heads is not None})
        narrowed = layers if len(widths) > 1 else ()
        self.width = Width(self.model, narrowed, widths, heads) if len(widths) > 1 or heads else None
        self._forward = Bound(model.forward, call=model)
        self._loss = Bound(getattr(loss, "forward", loss.__call__), call=loss)
        blocks = len(self.model.blocks) if hasattr(model, "blocks") else None
        wanted = [s.depth for s in subnets if s.depth is not None]
        if wanted and blocks is None:
            raise UserError(f"{type(model).__name__} has no blocks, so it has no depth", "leave depths out")
        if blocks is not None and wanted and max(wanted) != blocks:
            raise UserError(f"the model has {blocks} blocks: depths must end with {blocks}, got {max(wanted)}")

    @contextlib.contextmanager
    def at(self, subnet: Subnet, *exits: Subnet) -> Iterator[None]:
        """Runs as a sub-network within.

        Args:
            subnet: How it answers.
            exits: Others, of the same width and heads: the objective is joined over all of them, in one pass.
        """
        before = self.subnet
        self._become(subnet, exits)
        try:
            yield
        finally:
            self._become(before, ())

    def _become(self, subnet: Subnet, exits: tuple[Subnet, ...]) -> None:
        self.subnet = subnet
        self.exits = {s.depth for s in (subnet, *exits)} if exits else set()
        if self.width is not None:
            self.width.become(subnet)

    def predict(self, batch: Batch) -> Outputs:
        if self.subnet.depth is None or self.subnet.depth == self.whole.depth:
            outputs: Outputs = self._forward(batch)
            return outputs
        return next(outputs for _, outputs in run_exits(self.model, batch, {self.subnet.depth}))

    def forward(self, batch: Batch) -> Objective:
        depths = {depth for depth in self.exits if depth is not None}
        answers = [out for _, out in run_exits(self.model, batch, depths)] if depths else [self.predict(batch)]
        return joined([self._loss({**batch, **outputs}) for outputs in answers])

    def variants(self) -> Mapping[str, Callable[[Batch], Outputs]]:
        """Returns what is measured beside the whole network: ``test/accuracy@w0.25-d2``."""
        return {subnet.name: functools.partial(self._predict_at, subnet) for subnet in self.measured}

    def _predict_at(self, subnet: Subnet, batch: Batch) -> Outputs:
        with self.at(subnet):
            return self.predict(batch)


def joined(objectives: Sequence[Objective]) -> Objective:
    """Returns the sum of all terms over all sub-networks: their mean is that over sub-networks and examples."""
    if len(objectives) == 1:
        return objectives[0]
    if not any(isinstance(one, dict) for one in objectives):
        totals, counts = zip(*objectives, strict=True)
        return sum(totals[1:], totals[0]), sum(counts[1:], counts[0])
    return {
        (name if i == 0 else f"{name}-{i}"): term
        for i, one in enumerate(objectives)
        for name, term in (one.items() if isinstance(one, dict) else [("distill", one)])
    }
