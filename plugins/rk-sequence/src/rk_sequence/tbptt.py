"""The trainer `tbptt`: truncated backpropagation through time, with a state that is carried from batch to batch."""

from __future__ import annotations

from typing import Any, Protocol

from jaxtyping import Bool
from torch import Tensor

from rk import Runtime, UserError
from rk.binding import Bound
from rk.builtin.backprop import Supervised
from rk.protocols import Batch, Data, Loss, Model, Optimizer, Outputs
from rk.states import map_states, tensors_of, with_rows_from

STATE, STARTS = "state_meta", "starts_meta"


class CarriesState(Model, Protocol):
    """A model that takes a sequence in pieces."""

    def initial_state(self, batch_size: int) -> Any:
        """Returns the state before the first step."""
        ...

    def scan(self, *, state: Any, **fields: Tensor) -> tuple[Outputs, Any]:
        """Takes a further piece; returns its outputs and the state after it."""
        ...


class ContiguousRows(Data, Protocol):
    """Data whose training batches are streams: row b of a batch begins where row b of the previous one ended.

    A batch's ``starts_meta``, a Bool tensor of (batch,), is True for the rows that start a new stream.

    Attributes:
        streams: Rows of a training batch.
    """

    streams: int


class StreamLearner(Supervised):
    """A model and its loss, which also learns from a piece that continues from a state.

    Args:
        model: Takes sequences whole and in pieces.
        loss: Takes fields of the batch and of the outputs.
    """

    def __init__(self, model: CarriesState, loss: Loss) -> None:
        super().__init__(model, loss)
        self._scan = Bound(model.scan)

    def forward(self, batch: Batch) -> Any:  # Any: the pair goes through the wrapper of several processes
        """Returns the objective; of a batch with a ``state_meta``, the objective from there on and the new state."""
        if STATE not in batch:
            return super().forward(batch)
        outputs, state = self._scan({**batch, "state": batch[STATE]})
        return self._loss({**batch, **outputs}), state


class TBPTT:
    """Gradient descent on endless sequences, piece by piece (Werbos, 1990; arXiv:1506.00019, Sec. 2.3).

    The state after a batch, cut off from its gradient, is the state before the next one. So memory does not grow with
    the length of the stream, and what a model remembers is not cut where a batch ends; only gradients are. Rows that
    start a new stream begin with the initial state. Validation and tests take each batch by itself.

    Args:
        optimizer: The optimizer and its schedule, or several by patterns of the names of what they train.

    Examples:
        trainer: {name: tbptt, optimizer: {name: adamw, lr: 3e-3}}
    """

    def __init__(self, optimizer: Optimizer | dict[str, Optimizer]) -> None:
        self.factory = optimizer
        self.state: Any = None

    def setup(self, *, model: CarriesState, data: ContiguousRows, loss: Loss, runtime: Runtime) -> StreamLearner:
        """Builds the learner.

        Raises:
            UserError: With several processes, or when a layer of the model keeps no state.
        """
        if runtime.world > 1:
            raise UserError("tbptt carries the state from one batch to the next: that is one process", "fit.devices=1")
        model.initial_state(1)  # a layer without state raises
        learner = StreamLearner(model, loss)
        self.runtime = runtime
        self.model = model
        self.objective = runtime.setup(learner)
        self.optimizers = runtime.optimizers(self.factory, learner)
        return learner

    def step(self, batch: Batch) -> dict[str, Tensor]:
        rows = next(len(value) for value in batch.values() if isinstance(value, Tensor))
        before = self._state_before(rows, batch.get(STARTS))
        objective, after = self.objective({**batch, STATE: before})
        if any(a.shape != b.shape for a, b in zip(tensors_of(after), tensors_of(before), strict=True)):
            raise UserError(
                "the model's state grows with every step: it cannot be carried forever",
                "bound it; the layer attention takes a window",
            )
        logs = self.runtime.backward(objective)
        self.runtime.update(*self.optimizers)
        self.state = map_states(Tensor.detach, after)
        return logs

    def _state_before(self, rows: int, starts: Bool[Tensor, "batch"] | None) -> Any:
        if self.state is None:
            return self.model.initial_state(rows)
        state = map_states(lambda tensor: tensor.to(self.runtime.device), self.state)  # as it may come from a file
        if starts is None or not starts.any():
            return state
        return with_rows_from(self.model.initial_state(rows), starts, state)

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state["state"]
