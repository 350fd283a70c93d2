"""One block that is given the time: what NoProp-CT and NoProp-FM train, and the paper's adjoint baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge
from jaxtyping import Float
from rk_vision.blocks import LabelBlock, TwoStageBlock
from torch import Tensor, nn

from rk.fields import LogitsOutputs
from rk.protocols import Model
from rk_noprop.embedding import ClassEmbedding
from rk_noprop.model import NoPropModel
from rk_noprop.paths import KEPT, PathOutputs


class HasTimedBlock(Model, Protocol):
    """A model that is one block ``(z, x, t) -> logits``, with class embeddings and a read-out."""

    timed_block: nn.Module
    embedding: ClassEmbedding
    head: nn.Module
    num_walks: int


class NoPropFlow(NoPropModel):
    """A block that is given the time, for all times.

    `noprop-ct` and `noprop-fm` train it at random times. Any trainer that goes through `forward`, `backprop` above all,
    trains it as a neural ODE, ``dz/dt = logits(z, x, t) W_E`` from noise at t = 0, with the adjoint method (Chen et
    al., arXiv:1806.07366): the paper's baseline.

    Args:
        block: The block.
        ode_steps: Euler steps of `forward` and of `predict`. The trainers of NoProp have their own.

    Attributes:
        timed_block: The block.

    Examples:
        model: {name: noprop-flow, block: {name: mlp-block, hidden_size: 64}}

        >>> from rk_vision.mlp_block import MLPBlock
        >>> flow = NoPropFlow(block=MLPBlock, input_shape=(8, 8), num_classes=10, ode_steps=5)
        >>> flow(inputs=torch.rand(2, 8, 8))["logits"].shape
        torch.Size([2, 10])
    """

    renamed = {"runs": "num_walks"}

    def __init__(self, *, ode_steps: Annotated[int, Ge(1)] = 1000, **common: Any) -> None:
        super().__init__(num_blocks=1, timed=True, **common)
        self.ode_steps = ode_steps

    timed_block: nn.Module

    def _hold(self, blocks: Sequence[LabelBlock]) -> None:
        (self.timed_block,) = [block for block in blocks if isinstance(block, nn.Module)]

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes): the ODE's solution at t = 1, read out."""
        states = self._solve(inputs, num_walks=1, times=torch.tensor([0.0, 1.0]))
        return {"logits": self.head(states[-1], self.embedding)}

    def predict(self, *, inputs: Float[Tensor, "batch *shape"]) -> PathOutputs:
        """Returns the answers of several walks, and the path of the first: its guesses are read out of its states."""
        states = self._solve(inputs, self.num_walks, torch.linspace(0, 1, min(self.ode_steps, KEPT) + 1))
        logits = self.head(states[-1], self.embedding).view(self.num_walks, len(inputs), -1)
        path = states[:, : len(inputs)].transpose(0, 1)
        guesses = self.head(path[:, 1:].flatten(0, 1), self.embedding).softmax(-1)
        return {
            "logits": logits[0],
            "run_logits": logits.transpose(0, 1),
            "guesses": guesses.view(len(inputs), -1, guesses.shape[-1]),
            "path": path,
        }

    def _solve(self, inputs: Tensor, num_walks: int, times: Tensor) -> Float[Tensor, "times runs*batch z"]:
        """Returns the states at some times, from noise at the first one."""
        from torchdiffeq import odeint_adjoint

        dynamics = _Dynamics(self.timed_block, self.embedding)
        encoded = inputs if dynamics.stages is None else dynamics.stages.encode(inputs)
        start = torch.randn(num_walks * len(inputs), self.embedding.size, dtype=inputs.dtype, device=inputs.device)
        begin = (start, encoded.repeat(num_walks, *[1] * (encoded.ndim - 1)))
        options = {"step_size": 1 / self.ode_steps}
        states, _ = odeint_adjoint(dynamics, begin, times.to(start), method="euler", options=options)
        return states


class _Dynamics(nn.Module):
    """The right-hand side. The features of the input are a second state with derivative zero.

    So the adjoint method gives its gradient too, and convolutions are computed once, not in every step.
    """

    def __init__(self, block: nn.Module, embedding: ClassEmbedding) -> None:
        super().__init__()
        self.block = block
        self.embedding = embedding
        self.stages = block if isinstance(block, TwoStageBlock) else None

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        z, encoded = state
        logits = self.block(z, encoded, t) if self.stages is None else self.stages.decide(z, encoded, t)
        return logits @ self.embedding.weight, torch.zeros_like(encoded)
