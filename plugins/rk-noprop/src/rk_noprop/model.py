"""The base of NoProp's models: blocks between class embeddings and a read-out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge
from rk_vision.blocks import LabelBlock
from torch import nn

from rk.protocols import Decode, Factory
from rk_noprop.embedding import ClassEmbedding
from rk_noprop.heads import HEADS


class NoPropModel(nn.Module, ABC):
    """Blocks that read the input and a noised label, and judge the classes.

    Args:
        input_shape: Shape of one input.
        num_classes: Classes.
        block: The block; each has its own weights.
        num_blocks: The paper's T.
        timed: Whether blocks are given the time.
        embedding: Class embeddings: one-hot, learned, or a prototype of each class.
        embed_dim: Numbers per class of learned embeddings.
        head: What reads the last state: a linear layer, or distances from class embeddings (Eq. 15 and 16).
        head_start: Where its weights begin: at random, or aligned with the class embeddings. Gradients through all
            blocks take long to part classes that a random start confuses.
        num_walks: Walks per example when it answers, for `run-accuracy`; everything else in the answer is that of the
            first one.

    Attributes:
        embedding: W_E.
        head: The read-out.
    """

    def __init__(
        self,
        *,
        input_shape: tuple[Annotated[int, Ge(1)], ...],
        num_classes: int,
        block: Factory[LabelBlock],
        num_blocks: Annotated[int, Ge(1)],
        timed: bool,
        embedding: Literal["one-hot", "learned", "prototype"] = "one-hot",
        embed_dim: Annotated[int, Ge(1)] = 20,
        head: Literal["linear", "radial"] = "linear",
        head_start: Literal["random", "aligned"] = "random",
        num_walks: Decode[Annotated[int, Ge(1)]] = 5,
    ) -> None:
        super().__init__()
        self.embedding = ClassEmbedding(embedding, num_classes, embed_dim, input_shape)
        z_shape = self.embedding.shape
        made = [
            block(x_shape=input_shape, z_shape=z_shape, num_classes=num_classes, timed=timed) for _ in range(num_blocks)
        ]
        self._hold(made)
        self.head = HEADS[head](self.embedding.size, num_classes)
        if head_start == "aligned":
            self.head.align(self.embedding)
        self.num_walks = num_walks

    @abstractmethod
    def _hold(self, blocks: Sequence[LabelBlock]) -> None:
        """Makes the blocks submodules, under the name that the trainers ask for."""
