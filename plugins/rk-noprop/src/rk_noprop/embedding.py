"""Class embeddings: the labels that are noised, and what a block's guess is a mixture of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Float, Int
from rk_vision.shapes import picture_shape
from torch import Tensor, nn

Kind = Literal["one-hot", "learned", "prototype"]

POOL = 1000
"""Images per class among which its prototype is looked for: the distances between all of them are computed."""


class ClassEmbedding(nn.Module):
    """The matrix W_E of (classes, size).

    Args:
        kind: ``one-hot`` is the identity and stays it; ``learned`` begins orthogonal, as far as the size allows;
            ``prototype`` has the size of an input, and begins as one of each class (`set_prototypes`).
        num_classes: Classes.
        size: Numbers per class, where it is learned.
        x_shape: Shape of one input.

    Attributes:
        weight: W_E.
        shape: Shape of one row: (size,), or that of an image for prototypes.
        is_learned: Whether W_E changes.
        wants_prototypes: Whether it waits for `set_prototypes`.
    """

    def __init__(self, kind: Kind, num_classes: int, size: int, x_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.is_learned = kind != "one-hot"
        self.wants_prototypes = kind == "prototype"
        self.shape: tuple[int, ...]
        match kind:
            case "one-hot":
                self.shape = (num_classes,)
            case "learned":
                self.shape = (size,)
            case "prototype":
                self.shape = picture_shape(x_shape) if len(x_shape) > 1 else x_shape
        if kind == "one-hot":
            self.register_buffer("weight", torch.eye(num_classes))
        else:
            self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(num_classes, math.prod(self.shape))))

    @property
    def size(self) -> int:
        """Numbers per class."""
        return self.weight.shape[1]

    def forward(self, targets: Int[Tensor, "batch"]) -> Float[Tensor, "batch size"]:
        """Returns u_y."""
        return self.weight[targets]

    def mix(self, logits: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch size"]:
        """Returns the convex combination of class embeddings given by `logits`: a block's guess at the label."""
        return logits.softmax(-1) @ self.weight

    def distances(self, z: Float[Tensor, "batch size"]) -> Float[Tensor, "batch classes"]:
        """Returns squared Euclidean distances to all class embeddings."""
        # |z|^2 - 2 z.u + |u|^2, not torch.cdist: it is differentiable where the distance is zero
        return z.square().sum(-1, keepdim=True) - 2 * z @ self.weight.T + self.weight.square().sum(-1)

    @torch.no_grad()
    def set_prototypes(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Sets each row to the input of its class with the smallest median distance to the others of the class.

        Args:
            batches: Inputs and targets; as many are taken as it needs to have `POOL` of each class.
        """
        pools: list[list[Tensor]] = [[] for _ in self.weight]
        for inputs, targets in batches:
            for x, label in zip(inputs.flatten(1), targets.tolist(), strict=True):
                if len(pools[label]) < POOL:
                    pools[label].append(x)
            if all(len(pool) == POOL for pool in pools):
                break
        for row, pool in zip(self.weight, pools, strict=True):
            if pool:
                row.copy_(prototype(torch.stack(pool)))


def prototype(x: Float[Tensor, "n size"]) -> Float[Tensor, "size"]:
    """Returns the row of `x` with the smallest median distance to all of them."""
    return x[torch.cdist(x, x).median(dim=1).values.argmin()]
