"""The trainer `as-is`: a model is evaluated without training."""

from __future__ import annotations

from torch import Tensor

from rk import Runtime
from rk.builtin.backprop import Answering
from rk.protocols import Model


class AsIs:
    """Learns nothing: for models that answer in closed form, and for what a model is before it is trained.

    Examples:
        trainer: as-is
    """

    def setup(self, *, model: Model, runtime: Runtime) -> Answering:
        learner = Answering(model)
        runtime.setup(learner)
        return learner

    def step(self) -> dict[str, Tensor] | None:
        """There is nothing to learn."""
        return None
