"""SF with signals from above: all layers learn at once, from what the others gave a time step before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Batch, Layered, Objective, Share
from rk_forwardgnn.learner import ForwardLearner, LayerOutputs
from rk_forwardgnn.methods import Method
from rk_forwardgnn.mixed import Mixed, normalise
from rk_forwardgnn.settled import Settled
from rk_forwardgnn.views import Views

FIRST = 2
"""Time steps of an answer that are left out: the signals from above have not arrived yet."""

States = list[Float[Tensor, "rows width"]]
"""What each layer gave last, for the nodes and the prototypes."""


class TopDownLearner(ForwardLearner):
    """A model whose layers read, or are judged with, the states of the layers above.

    Args:
        model: The model; its blocks are trained.
        method: What a layer learns from: SF.
        reads_above: Whether a layer reads the state above (SF-Top2Input), or its loss does (SF-Top2Loss).
        alternating: Whether even layers are computed before odd ones in each time step of SF-Top2Input.
        time_steps: Time steps of an answer of SF-Top2Input.

    Attributes:
        reached: What the layer gave in the last call of `forward`, without its graph.

    Raises:
        UserError: When the model's blocks do not read from above.
    """

    reached: Tensor

    def __init__(
        self, model: Layered, method: Method, reads_above: bool, alternating: bool = True, time_steps: int = 10
    ) -> None:
        super().__init__(model, method)
        self.reads_above = reads_above
        self.alternating = alternating
        self.time_steps = time_steps
        self.depth = len(model.blocks)
        if reads_above and not all(getattr(block, "above", 0) for block in model.blocks):
            raise UserError(
                f"the method sf-top-input needs blocks that read from above; those of {type(model).__name__} do not",
                "model: {name: gnn-stack, reads: above}",
            )

    def turns(self) -> list[Sequence[int]]:
        """Returns the layers that are computed from one set of states, turn by turn."""
        layers = range(len(self.model.blocks))
        return [layers[::2], layers[1::2]] if self.reads_above and self.alternating else [layers]

    def forward(self, batch: Batch, layer: int | None = None, states: States | None = None) -> Objective:
        """Returns the objective of one layer in a time step; without a layer, that of all, from the bottom up.

        Args:
            batch: Nodes and targets.
            layer: Number of the layer, from 0.
            states: What each layer gave before.
        """
        views = self.stage(batch, 0, "all").views
        if layer is None or states is None:
            states = self.bottom_up(batch)
            own = [self._share(given, i, states, views, batch) for i, given in enumerate(states)]
            return {f"layer-{i}": share for i, share in enumerate(own, 1)}
        given = self.given(batch, layer, states)
        self.reached = given.detach()
        return self._share(given, layer, states, views, batch)

    def _share(self, given: Tensor, layer: int, states: States, views: Views, batch: Batch) -> Share:
        return self.method.share(self.judged(given, layer, states), views, batch)

    def bottom_up(self, batch: Batch) -> States:
        """Returns the states of one pass in which nothing comes from above."""
        stage = self.stage(batch, 0, "all")
        hidden, states = stage.settled.hidden, []
        with torch.no_grad():
            for i, block in enumerate(self.model.blocks):
                first = i == 0 and not self.reads_above
                given = stage.settled() if first else block(hidden, *stage.views.context)
                states.append(given)
                hidden = normalise(given)
        return states

    def given(self, batch: Batch, layer: int, states: States) -> Float[Tensor, "rows width"]:
        """Returns what a layer gives when the others have these states."""
        stage = self.stage(batch, 0, "all")
        if layer == 0 and not self.reads_above:
            return stage.settled()  # its input is constant
        below = stage.settled.hidden if layer == 0 else normalise(states[layer - 1])
        if self.reads_above:
            last = layer == len(states) - 1
            above = self._label_state(batch, len(below)) if last else states[layer + 1]
            below = torch.cat([below, normalise(above).to(below)], 1)
        return Settled(self.model.blocks[layer], Mixed(below), stage.views.context, keep=False)()

    def judged(self, given: Tensor, layer: int, states: States) -> Float[Tensor, "rows width"]:
        """Returns what the loss looks at: in SF-Top2Loss, the mean with the states of all layers above.

        Raises:
            UserError: When the layers have different widths.
        """
        if self.reads_above:
            return given
        above = states[layer + 1 :]
        if any(state.shape != given.shape for state in above):
            raise UserError("the method sf-top-loss needs layers of one width", "model: gnn-stack")
        return torch.stack([given, *above]).mean(0) if above else given

    def _label_state(self, batch: Batch, rows: int) -> Float[Tensor, "rows classes"]:
        """Returns the state above the last layer: the label of training nodes, and no preference for all others."""
        classes = self.method.num_classes
        known = F.pad(self.labels_of(batch), (0, rows - len(self.labels_of(batch))), value=IGNORED)
        one_hot = F.one_hot(known.clamp(min=0), classes).to(self.prototypes)
        return torch.where((known != IGNORED).unsqueeze(1), one_hot, 1 / classes)

    def predict(self, batch: Batch) -> LayerOutputs:
        """Answers by the sum over layers, and over the time steps in which the signals from above have arrived."""
        views, states = self.stage(batch, 0, "all").views, self.bottom_up(batch)
        if not self.reads_above:
            found = [self.judged(given, i, states) for i, given in enumerate(states)]
            return self.outputs([self.method.readout(z, views) for z in found])
        kept: list[list[Tensor]] = [[] for _ in states]
        for t in range(self.time_steps):
            for turn in self.turns():
                fresh = {i: self.given(batch, i, states) for i in turn}
                states = [fresh.get(i, state) for i, state in enumerate(states)]
            if t >= min(FIRST, self.time_steps - 1):
                for mine, state in zip(kept, states, strict=True):
                    mine.append(self.method.readout(state, views))
        return self.outputs([torch.stack(mine).logsumexp(0) - math.log(len(mine)) for mine in kept])
