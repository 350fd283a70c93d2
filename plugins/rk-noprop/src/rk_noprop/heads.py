"""Read-outs: from the last state of a chain to classes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rk_noprop.embedding import ClassEmbedding


class LinearHead(nn.Module):
    """``W_out z + b_out``.

    Args:
        size: Numbers of a label embedding.
        num_classes: Classes.
    """

    def __init__(self, size: int, num_classes: int) -> None:
        super().__init__()
        self.out = nn.Linear(size, num_classes)

    def align(self, embedding: ClassEmbedding) -> None:
        """Begins with each class's own embedding as its weights: no two classes look alike."""
        _align(self.out, embedding)

    def forward(self, z: Float[Tensor, "batch size"], embedding: ClassEmbedding) -> Float[Tensor, "batch classes"]:
        return self.out(z)


class RadialHead(nn.Module):
    """Classes by their distance from a mixture of class embeddings that the state stands for (Eq. 15 and Eq. 16).

    The width sigma is learned, from 1: the paper does not state it.

    Args:
        size: Numbers of a label embedding.
        num_classes: Classes.
    """

    def __init__(self, size: int, num_classes: int) -> None:
        super().__init__()
        self.mixture = nn.Linear(size, num_classes)
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def align(self, embedding: ClassEmbedding) -> None:
        """Begins with each class's own embedding as its weights: no two classes look alike."""
        _align(self.mixture, embedding)

    def forward(self, z: Float[Tensor, "batch size"], embedding: ClassEmbedding) -> Float[Tensor, "batch classes"]:
        guess = embedding.mix(self.mixture(z))  # Eq. 15
        return -embedding.distances(guess) / (2 * (2 * self.log_sigma).exp())  # Eq. 16


HEADS: dict[str, type[LinearHead] | type[RadialHead]] = {"linear": LinearHead, "radial": RadialHead}


@torch.no_grad()
def _align(layer: nn.Linear, embedding: ClassEmbedding) -> None:
    layer.weight.copy_(embedding.weight)
    layer.bias.zero_()
