"""The model `label-chain`: blocks made for NoProp as a chain whose hidden state takes the place of the label."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from rk_vision.blocks import LabelBlock
from torch import Tensor, nn

from rk.fields import LogitsOutputs
from rk.protocols import Factory


class ChainBlock(nn.Module):
    """A block that reads the hidden state where it was made to read a label, and ReLU.

    Args:
        block: ``(z, x) -> numbers``.
    """

    def __init__(self, block: LabelBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, hidden: Float[Tensor, "batch d"], inputs: Float[Tensor, "batch *shape"]) -> Tensor:
        return torch.relu(self.block(hidden, inputs))


class LabelChain(nn.Module):
    """Blocks such as `mlp-block`, `conv-block` and `noprop-block` in a chain: each reads the input and a hidden state.

    Args:
        block: The block; each of the chain has its own weights.
        input_shape: Shape of one input.
        num_classes: Classes.
        d_model: Width of the hidden state.
        num_layers: Blocks.

    Attributes:
        blocks: The blocks, each called with the hidden state and the inputs.
        head: Reads the last hidden state; `forward-local` leaves it alone.
        keeps_shape: True: blocks can be skipped and repeated.

    Examples:
        model: {name: label-chain, block: {name: mlp-block, hidden_size: 64}, num_layers: 3}

        >>> from rk_vision.mlp_block import MLPBlock
        >>> LabelChain(block=MLPBlock, input_shape=(8, 8), num_classes=10)(inputs=torch.rand(2, 8, 8))["logits"].shape
        torch.Size([2, 10])
    """

    keeps_shape = True

    def __init__(
        self,
        *,
        block: Factory[LabelBlock],
        input_shape: tuple[Annotated[int, Ge(1)], ...],
        num_classes: int,
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1)] = 3,
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.blocks = nn.ModuleList(
            ChainBlock(block(x_shape=input_shape, z_shape=(d_model,), num_classes=d_model, timed=False))
            for _ in range(num_layers)
        )
        self.head = nn.Linear(d_model, num_classes)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes)."""
        hidden, context = self.enter(inputs=inputs)
        for block in self.blocks:
            hidden = block(hidden, *context)
        return self.leave(hidden)

    def enter(self, *, inputs: Float[Tensor, "batch *shape"]) -> tuple[Tensor, tuple[Tensor]]:
        """Returns a hidden state of zeros, and the inputs, which every block reads."""
        return inputs.new_zeros(inputs.shape[0], self.d_model), (inputs,)

    def leave(self, hidden: Float[Tensor, "batch d_model"]) -> LogitsOutputs:
        """Returns logits of (batch, classes) from what the last block gave."""
        return {"logits": self.head(hidden)}
