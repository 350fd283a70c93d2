"""The base of the blocks: paths for input, label and time that meet in one linear layer."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

TIME_FEATURES = 64


class TimeEmbedding(nn.Module):
    """Sines and cosines of a time at wave lengths from 1/1000 to 10 (Vaswani et al., arXiv:1706.03762, Sec. 3.5).

    Args:
        size: Numbers per time; even.
    """

    rates: Tensor

    def __init__(self, size: int = TIME_FEATURES) -> None:
        super().__init__()
        exponents = torch.arange(size // 2) / (size // 2)
        self.register_buffer("rates", 1000.0 * torch.exp(-math.log(10000.0) * exponents), persistent=False)

    def forward(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "batch size"]:
        angles = t.reshape(-1, 1) * self.rates
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Fusion(nn.Module):
    """Concatenates the outputs of the paths, then a linear layer, ReLU, and a linear layer to the classes.

    The first layer is linear in each part, so that the input's share of it is computed once for a whole chain of label
    embeddings (`encode`), with the same result.

    Args:
        image: Inputs -> (batch, width).
        width: Width of each path and of the layer in which they meet.
        z_size: Numbers of a label embedding.
        num_classes: Classes.
        timed: Whether there is a path for the time.
    """

    def __init__(self, image: nn.Module, width: int, z_size: int, num_classes: int, timed: bool) -> None:
        super().__init__()
        self.width = width
        self.image = image
        self.label = nn.Linear(z_size, width)
        self.time = nn.Sequential(TimeEmbedding(), nn.Linear(TIME_FEATURES, width), nn.ReLU()) if timed else None
        self.fuse = nn.Linear((3 if timed else 2) * width, width)
        self.out = nn.Linear(width, num_classes)

    def encode(self, x: Float[Tensor, "batch *x"]) -> Float[Tensor, "batch width"]:
        """Returns the input's share of the layer in which the paths meet, its bias included."""
        return F.linear(self.image(x), self.fuse.weight[:, : self.width], self.fuse.bias)

    def decide(
        self, z: Float[Tensor, "batch z"], encoded: Float[Tensor, "batch width"], t: Tensor | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Returns the logits for label embeddings `z` and inputs as `encode` gives them."""
        of_image, of_label = self.width, 2 * self.width
        hidden = encoded + F.linear(self.label(z).relu(), self.fuse.weight[:, of_image:of_label])
        if self.time is not None:
            hidden = hidden + F.linear(self.time(t), self.fuse.weight[:, of_label:])
        return self.out(hidden.relu())

    def forward(self, z: Tensor, x: Tensor, t: Tensor | None = None) -> Float[Tensor, "batch classes"]:
        return self.decide(z, self.encode(x), t)
