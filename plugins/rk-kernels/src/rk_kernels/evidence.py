"""The trainer `marginal-likelihood`: observe all training rows, then climb the evidence if there is what to learn."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Ge
from torch import Tensor, nn

from rk import UserError
from rk.fields import RegressionBatch
from rk.fit.bind import Bound
from rk.fit.runtime import Runtime
from rk.protocols import Batch, Data, Optimizer, Outputs
from rk_kernels.process import Process


class ProcessLearner(nn.Module):
    """A process and what it has observed.

    Args:
        model: The process.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._answer = Bound(model.forward)

    def predict(self, batch: Batch) -> Outputs:
        """Returns what the process answers."""
        return self._answer(batch)


class MarginalLikelihood:
    """Conditions a process on all training rows; what the process learns climbs their evidence, by gradients.

    Steps of the first pass over the training split only observe. Each step after it is one on the evidence of all rows.
    The run ends when that no longer rises, or by `fit.max_steps`.

    Args:
        optimizer: Climbs the evidence; null: nothing is learned but the rows themselves.
        patience: Steps over which the evidence must rise.
        tolerance: By this much per target, in nats.
    """

    def __init__(
        self,
        optimizer: Optimizer | None = None,
        patience: Annotated[int, Ge(1)] = 10,
        tolerance: Annotated[float, Ge(0)] = 1e-4,
    ) -> None:
        self.factory = optimizer
        self.patience = patience
        self.tolerance = tolerance
        self.seen = 0
        self.history: list[float] = []

    def setup(self, *, model: Process, data: Data, runtime: Runtime) -> ProcessLearner:
        if runtime.world > 1:
            raise UserError("marginal-likelihood factorises one matrix: it runs in one process", "fit.devices=1")
        self.data = data
        self.runtime = runtime
        self.learner = ProcessLearner(model)
        runtime.setup(self.learner)
        learned = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = runtime.optimizer(self.factory, learned) if self.factory is not None and learned else None
        return self.learner

    def step(self, batch: RegressionBatch) -> dict[str, Tensor] | None:
        """Observes a batch of the first pass, or takes one step on the evidence; None when there is no more to gain."""
        model, rows = self.learner.model, self.data.batches("train")
        if self.seen < rows:
            model.observe(batch["inputs"], batch["targets"])
            self.seen += 1
            return {}
        if self.optimizer is None or self._has_converged():
            return None
        model.release()
        evidence = model.log_evidence()
        logs = self.runtime.backward((-evidence, model.observed_targets.numel()))
        self.runtime.update(self.optimizer)
        self.history = [*self.history[-self.patience :], float(logs["loss"])]
        return logs

    def _has_converged(self) -> bool:
        return len(self.history) > self.patience and self.history[0] - min(self.history[1:]) < self.tolerance

    def finish(self) -> None:
        """Solves for all answers to come."""
        self.learner.model.condition()

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.history = state["seen"], state["history"]
