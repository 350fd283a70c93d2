"""The trainer `as-is`: a model is evaluated without training."""

from __future__ import annotations

from torch import Tensor

from rk import Runtime
from rk.protocols import Model
from rk_kernels.evidence import ProcessLearner


class AsIs:
    """Learns nothing: for models that answer in closed form, and for what a model is before it is trained.

    Examples:
        trainer: as-is
    """

    def setup(self, *, model: Model, runtime: Runtime) -> ProcessLearner:
        learner = ProcessLearner(model)
        runtime.setup(learner)
        return learner

    def step(self) -> dict[str, Tensor] | None:
        """There is nothing to learn."""
        return None
