"""The learner of `sorted`: a model, its loss, and the sub-network at which both run."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from torch import nn

from rk import Batch, Loss, Model, Objective, Outputs, UserError
from rk.binding import Bound
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
        self.measured = [subnet for subnet in measured if subnet != self.whole]
        widths = sorted({s.width for s in subnets})
        self.width = Width(self.model, layers, widths) if len(widths) > 1 else None
        self._forward = Bound(model.forward, call=model)
        self._loss = Bound(getattr(loss, "forward", loss.__call__), call=loss)
        blocks = len(self.model.blocks) if hasattr(model, "blocks") else None
        wanted = [s.depth for s in subnets if s.depth is not None]
        if wanted and blocks is None:
            raise UserError(f"{type(model).__name__} has no blocks, so it has no depth", "leave depths out")
        if blocks is not None and wanted and max(wanted) != blocks:
            raise UserError(f"the model has {blocks} blocks: depths must end with {blocks}, got {max(wanted)}")
        if wanted:
            self._enter, self._leave = Bound(self.model.enter), Bound(self.model.leave)

    @contextlib.contextmanager
    def at(self, subnet: Subnet) -> Iterator[None]:
        """Runs as a sub-network within."""
        before, self.subnet = self.subnet, subnet
        if self.width is not None:
            self.width.share = subnet.width
        try:
            yield
        finally:
            self.subnet = before
            if self.width is not None:
                self.width.share = before.width

    def predict(self, batch: Batch) -> Outputs:
        if self.subnet.depth is None or self.subnet.depth == self.whole.depth:
            outputs: Outputs = self._forward(batch)
            return outputs
        hidden, context = self._enter(batch)
        for block in self.model.blocks[: self.subnet.depth]:
            hidden = block(hidden, *context)
        names = [name for name in self._leave.names if name in batch]
        left: Outputs = self.model.leave(hidden, **{name: batch[name] for name in names})
        return left

    def forward(self, batch: Batch) -> Objective:
        objective: Objective = self._loss({**batch, **self.predict(batch)})
        return objective

    def variants(self) -> Mapping[str, Callable[[Batch], Outputs]]:
        """Returns what is measured beside the whole network: ``test/accuracy@w0.25-d2``."""
        return {subnet.name: functools.partial(self._predict_at, subnet) for subnet in self.measured}

    def _predict_at(self, subnet: Subnet, batch: Batch) -> Outputs:
        with self.at(subnet):
            return self.predict(batch)
