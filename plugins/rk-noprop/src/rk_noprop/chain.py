"""The chain of blocks: what NoProp-DT trains block by block, and backpropagation from end to end."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import torch
from annotated_types import Ge
from jaxtyping import Float
from rk_vision.blocks import LabelBlock, Settled
from torch import Tensor, nn

from rk.fields import LogitsOutputs
from rk.protocols import Decode, Factory, Model
from rk_noprop.embedding import ClassEmbedding
from rk_noprop.heads import HEADS
from rk_noprop.paths import PathOutputs, Walk


class HasLabelBlocks(Model, Protocol):
    """A model that is a chain of blocks, each ``(z, x) -> logits``, with class embeddings and a read-out."""

    label_blocks: nn.ModuleList
    embedding: ClassEmbedding
    head: nn.Module
    runs: int


class NoPropChain(nn.Module):
    """T blocks that each read the input and a noised label, and judge the classes.

    `noprop-dt` trains them one by one. Any trainer that goes through `forward`, `backprop` above all, trains them from
    end to end: the paper's baseline, in which the state of the chain is a residual mixture (Eq. 17 to 19).

    Args:
        input_shape: Shape of one input.
        num_classes: Classes.
        block: The block; each of the chain has its own weights.
        n_blocks: The paper's T.
        embedding: Class embeddings: one-hot, learned, or a prototype of each class.
        embed_dim: Numbers per class of learned embeddings.
        head: What reads the last state: a linear layer, or distances from class embeddings (Eq. 15 and 16).
        head_start: Where its weights begin: at random, or aligned with the class embeddings. Gradients through all
            blocks take long to part classes that a random start confuses.
        gate: Where the residual weights w_t begin: `tanh(gate)` of a state is the block's. Only for `forward`. At 0 no
            block would have a gradient at first.
        runs: Walks per example when it answers, for `run-accuracy`; everything else in the answer is the first one's.

    Attributes:
        label_blocks: The blocks.
        embedding: W_E.
        head: The read-out.
    """

    def __init__(
        self,
        input_shape: tuple[Annotated[int, Ge(1)], ...],
        num_classes: int,
        block: Factory[LabelBlock],
        n_blocks: Annotated[int, Ge(1)] = 10,
        embedding: Literal["one-hot", "learned", "prototype"] = "one-hot",
        embed_dim: Annotated[int, Ge(1)] = 20,
        head: Literal["linear", "radial"] = "linear",
        head_start: Literal["random", "aligned"] = "random",
        gate: float = 0.5,
        runs: Decode[Annotated[int, Ge(1)]] = 5,
    ) -> None:
        super().__init__()
        self.embedding = ClassEmbedding(embedding, num_classes, embed_dim, input_shape)
        self.label_blocks = nn.ModuleList(
            block(x_shape=input_shape, z_shape=self.embedding.shape, num_classes=num_classes, timed=False)
            for _ in range(n_blocks)
        )
        self.head = HEADS[head](self.embedding.size, num_classes)
        if head_start == "aligned":
            self.head.align(self.embedding)
        self.runs = runs
        self.gates = nn.Parameter(torch.full((n_blocks,), gate))

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes): from noise, through all blocks."""
        return {"logits": self._walk(inputs, runs=1)["logits"]}

    def predict(self, *, inputs: Float[Tensor, "batch *shape"]) -> PathOutputs:
        """Returns the answers of several walks, and the path of the first."""
        return self._walk(inputs, self.runs)

    def _walk(self, inputs: Tensor, runs: int) -> PathOutputs:
        settled = [Settled(block, inputs) for block in self.label_blocks]
        keep = self.gates.tanh()

        def step(i: int, z: Tensor) -> tuple[Tensor, Tensor]:
            logits = settled[i](z)
            return logits, (1 - keep[i]) * z + keep[i] * self.embedding.mix(logits)  # Eq. 18

        def read_out(z: Tensor) -> Tensor:
            return self.head(z, self.embedding)  # Eq. 19

        walk = Walk(len(settled), runs, self.embedding.size, inputs)  # from noise, Eq. 17
        return walk(step, lambda logits: logits.softmax(-1), read_out)
