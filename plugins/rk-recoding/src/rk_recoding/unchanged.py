"""The trainer `unchanged`: a model is measured with the weights that it begins with."""

from __future__ import annotations

from torch import Tensor

from rk import Runtime
from rk.builtin.backprop import Supervised
from rk.protocols import Loss, Model


class Unchanged:
    """Learns nothing: for what changes only how a trained model answers. `init_from` gives the weights.

    Examples:
        trainer: unchanged
    """

    def setup(self, *, model: Model, loss: Loss, runtime: Runtime) -> Supervised:
        learner = Supervised(model, loss)
        runtime.setup(learner)
        return learner

    def step(self) -> dict[str, Tensor] | None:
        """There is nothing to learn."""
        return None
