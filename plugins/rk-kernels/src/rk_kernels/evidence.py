"""The trainer `marginal-likelihood`: observe all training rows, then climb the evidence if there is what to learn."""

from __future__ import annotations

import math
from typing import Annotated, Any

from annotated_types import Ge
from torch import Tensor

from rk import Runtime, UserError
from rk.builtin.backprop import Answering
from rk.fields import RegressionBatch
from rk.protocols import Data, Optimizer
from rk_kernels.process import Process


class MarginalLikelihood:
    """Conditions a process on all training rows; what the process learns climbs their evidence, by gradients.

    Steps of the first pass over the training split only observe. Each step after it is one on the evidence of all rows.
    The run ends when that no longer rises, or by `fit.max_steps`.

    Args:
        optimizer: Climbs the evidence; null: nothing is learned but the rows themselves.
        patience: Ends after so many steps without a new best evidence.
        tolerance: By how much per target, in nats, a best one must be better than the last.

    Examples:
        trainer: {name: marginal-likelihood, optimizer: {name: adam, lr: 0.05}}
    """

    def __init__(
        self,
        optimizer: Optimizer | None = None,
        patience: Annotated[int, Ge(1)] = 25,
        tolerance: Annotated[float, Ge(0)] = 1e-4,
    ) -> None:
        self.factory = optimizer
        self.patience = patience
        self.tolerance = tolerance
        self.seen = 0
        self.best = math.inf
        self.stale = 0

    def setup(self, *, model: Process, data: Data, runtime: Runtime) -> Answering:
        if runtime.world > 1:
            raise UserError("marginal-likelihood factorises one matrix: it runs in one process", "fit.devices=1")
        self.data = data
        self.runtime = runtime
        self.process = model
        self.learner = Answering(model)
        runtime.setup(self.learner)
        learned = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = runtime.optimizer(self.factory, learned) if self.factory is not None and learned else None
        return self.learner

    def step(self, batch: RegressionBatch) -> dict[str, Tensor] | None:
        """Observes a batch of the first pass, or takes one step on the evidence; None when there is no more to gain."""
        model, rows = self.process, self.data.batches("train")
        if rows is None:
            raise UserError("marginal-likelihood observes all training rows, but the training split has no end")
        if self.seen < rows:
            model.observe(batch["inputs"], batch["targets"])
            self.seen += 1
            return {}
        if self.optimizer is None or self.stale >= self.patience:
            return None
        model.release()
        evidence = model.log_evidence()
        logs = self.runtime.backward((-evidence, model.observed_targets.numel()))
        self.runtime.update(self.optimizer)
        loss = float(logs["loss"])
        better = loss < self.best - self.tolerance
        self.best, self.stale = (loss, 0) if better else (self.best, self.stale + 1)
        return logs

    def finish(self) -> None:
        """Solves for all answers to come."""
        self.process.condition()

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "best": self.best, "stale": self.stale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.best, self.stale = state["seen"], state["best"], state["stale"]
