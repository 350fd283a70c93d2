"""The chain of blocks: what NoProp-DT trains block by block, and backpropagation from end to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import torch
from annotated_types import Ge
from jaxtyping import Float
from rk_vision.blocks import LabelBlock, Settled
from torch import Tensor, nn

from rk.fields import LogitsOutputs
from rk.protocols import Model
from rk_noprop.embedding import ClassEmbedding
from rk_noprop.model import NoPropModel
from rk_noprop.paths import DenoisingWalks, PathOutputs


class HasLabelBlocks(Model, Protocol):
    """A model that is a chain of blocks, each ``(z, x) -> logits``, with class embeddings and a read-out."""

    label_blocks: nn.ModuleList
    embedding: ClassEmbedding
    head: nn.Module
    num_walks: int


class NoPropChain(NoPropModel):
    """T blocks that each read the input and a noised label, and judge the classes.

    `noprop-dt` trains them one by one. Any trainer that goes through `forward`, `backprop` above all, trains them from
    end to end: the paper's baseline, in which the state of the chain is a residual mixture (Eq. 17, Eq. 18 and Eq. 19).

    Args:
        block: The block; each of the chain has its own weights.
        num_blocks: The paper's T.
        gate: Where the residual weights w_t begin: `tanh(gate)` of a state is the block's. Only for `forward`. At 0 no
            block would have a gradient at first.

    Attributes:
        label_blocks: The blocks.

    Examples:
        model: {name: noprop-chain, block: {name: mlp-block, hidden_size: 64}, num_blocks: 10}

        >>> from rk_vision.mlp_block import MLPBlock
        >>> chain = NoPropChain(block=MLPBlock, input_shape=(8, 8), num_classes=10, num_blocks=3)
        >>> chain(inputs=torch.rand(2, 8, 8))["logits"].shape
        torch.Size([2, 10])
    """

    renamed = {"n_blocks": "num_blocks", "runs": "num_walks"}

    def __init__(self, *, num_blocks: Annotated[int, Ge(1)] = 10, gate: float = 0.5, **common: Any) -> None:
        super().__init__(num_blocks=num_blocks, timed=False, **common)
        self.gates = nn.Parameter(torch.full((num_blocks,), gate))

    def _hold(self, blocks: Sequence[LabelBlock]) -> None:
        self.label_blocks = nn.ModuleList(block for block in blocks if isinstance(block, nn.Module))

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes): from noise, through all blocks."""
        return {"logits": self._walk(inputs, num_walks=1)["logits"]}

    def predict(self, *, inputs: Float[Tensor, "batch *shape"]) -> PathOutputs:
        """Returns the answers of several walks, and the path of the first."""
        return self._walk(inputs, self.num_walks)

    def _walk(self, inputs: Tensor, num_walks: int) -> PathOutputs:
        settled = [Settled(block, inputs) for block in self.label_blocks]
        keep = self.gates.tanh()

        def step(i: int, z: Tensor) -> tuple[Tensor, Tensor]:
            logits = settled[i](z)
            return logits, (1 - keep[i]) * z + keep[i] * self.embedding.mix(logits)  # Eq. 18

        def read_out(z: Tensor) -> Tensor:
            return self.head(z, self.embedding)  # Eq. 19

        walk = DenoisingWalks(len(settled), num_walks, self.embedding.size, inputs)  # from noise, Eq. 17
        return walk(step, lambda logits: logits.softmax(-1), read_out)
