"""The shape of a block that learns by itself: it reads an input and a label, noised or guessed, and judges the classes.

Methods that train block by block (`rk-noprop` is one) take any layer that fits `LabelBlock`. What else a block can do
makes it faster, never different: `encode` and `decide` compute the features of an image once per chain, and `together`
computes several blocks in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from rk.protocols import Layer


class LabelBlock(Layer, Protocol):
    """``(z, x[, t]) -> logits``.

    Args:
        x_shape: Shape of one input.
        z_shape: Shape of one label embedding: (size,), or (channels, height, width) where it is an image itself.
        num_classes: Classes.
        timed: Whether the block is given a time.
    """

    def __init__(
        self, *, x_shape: tuple[int, ...], z_shape: tuple[int, ...], num_classes: int, timed: bool
    ) -> None: ...

    def forward(
        self, z: Float[Tensor, "batch z"], x: Float[Tensor, "batch *x"], t: Float[Tensor, "*batch"] | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Returns logits over the classes.

        Args:
            z: Label embeddings, flat whatever `z_shape` is.
            x: Inputs.
            t: Times from 0 to 1, one for each example or one for all; only where the block is timed.
        """
        ...


@runtime_checkable
class TwoStageBlock(Protocol):
    """A `LabelBlock` with ``forward(z, x, t) == decide(z, encode(x), t)``."""

    def encode(self, x: Tensor) -> Float[Tensor, "batch features"]:
        """Returns all that the block needs of the input."""
        ...

    def decide(self, z: Tensor, encoded: Tensor, t: Tensor | None = None) -> Float[Tensor, "batch classes"]:
        """Returns the logits."""
        ...


@runtime_checkable
class BatchedBlock(Protocol):
    """A `LabelBlock` that can be computed with others of its kind in one go."""

    def together(
        self, others: Sequence[BatchedBlock], z: Float[Tensor, "blocks batch z"], x: Float[Tensor, "batch *x"]
    ) -> Float[Tensor, "blocks batch classes"]:
        """Returns the logits of this block and of `others`, for one input and a label embedding for each block."""
        ...


class Settled:
    """A block whose input is settled: ``(z[, t]) -> logits``. The input's features are computed once.

    Args:
        block: Any `LabelBlock`; one without `encode` is given the input every time.
        x: (batch, *x_shape).
    """

    def __init__(self, block: LabelBlock | nn.Module, x: Float[Tensor, "batch *x"]) -> None:
        self.block = block
        self.batch = x.shape[0]  # not len(): exporters follow it
        self._stages = block if isinstance(block, TwoStageBlock) else None
        self._input = x if self._stages is None else self._stages.encode(x)
        self._repeated = self._input

    def __call__(self, z: Float[Tensor, "copies*batch z"], t: Tensor | None = None) -> Float[Tensor, "..."]:
        """Returns the logits for one copy of the batch, or several, one after another."""
        if self._repeated.shape[0] != z.shape[0]:
            self._repeated = self._input.repeat(z.shape[0] // self.batch, *[1] * (self._input.ndim - 1))
        if self._stages is not None:
            return self._stages.decide(z, self._repeated, t)
        return self.block(z, self._repeated) if t is None else self.block(z, self._repeated, t)
