"""The paper's blocks, read from its Figure 6."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Lt
from jaxtyping import Float
from rk_vision.fusion import TIME_FEATURES, TimeEmbedding
from rk_vision.shapes import as_picture, picture_shape
from torch import Tensor, nn
from torch.nn import functional as F


class NoPropBlock(nn.Module):
    """The paper's block: three convolutions for the input, linear layers for the label, and three that join them.

    The block of a chain normalises batches and adds the label's first layer to its last. The block that is given a time
    does neither. Label embeddings that are images go through separate convolutions (Fig. 6). Padding is 1 and
    the stride 1, which the paper does not state.

    Args:
        x_shape: Shape of one input: (channels, height, width), or (height, width) of grey ones.
        z_shape: Shape of one label embedding.
        num_classes: Classes.
        timed: Whether the block is given a time.
        channels: Channels of the three convolutions; the first and the last one halve height and width.
        hidden_size: Width of the linear layers; the last one before the classes has half.
        dropout: Share of each convolution's numbers that is set to zero in training.

    Examples:
        model: {name: noprop-chain, block: {name: noprop-block, hidden_size: 128}}

        >>> block = NoPropBlock(x_shape=(8, 8), z_shape=(10,), num_classes=10)
        >>> block(torch.randn(2, 10), torch.rand(2, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        x_shape: tuple[int, ...],
        z_shape: tuple[int, ...],
        num_classes: int,
        timed: bool = False,
        channels: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)], Annotated[int, Ge(1)]] = (32, 64, 128),
        hidden_size: Annotated[int, Ge(2)] = 256,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
    ) -> None:
        super().__init__()
        self.width = hidden_size
        self.z_shape = z_shape
        norm = nn.Identity if timed else nn.BatchNorm1d
        behind = nn.ReLU if timed else nn.Identity  # a chain's block ends the input's path with the normalisation

        def convolutions(shape: tuple[int, ...]) -> list[nn.Module]:
            stack, size = _convolutions(picture_shape(shape), channels, dropout)
            return [stack, nn.Linear(size, hidden_size), norm(hidden_size), behind()]

        self.image = nn.Sequential(*convolutions(x_shape))
        self.picture_labels = len(z_shape) == 3
        if self.picture_labels:
            first = nn.Sequential(*convolutions(z_shape), nn.ReLU())
        else:
            first = nn.Sequential(nn.Linear(math.prod(z_shape), hidden_size), norm(hidden_size), nn.ReLU())
        self.label = first
        self.label_residual = None if timed else _residual(hidden_size)
        self.time = None
        if timed:
            self.time = nn.Sequential(TimeEmbedding(), nn.Linear(TIME_FEATURES, hidden_size), nn.ReLU())
        self.fuse = nn.Linear((3 if timed else 2) * hidden_size, hidden_size)
        self.out = nn.Sequential(
            norm(hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size // 2),
            norm(hidden_size // 2),
            nn.ReLU(),
            nn.Linear(hidden_size // 2, num_classes),
        )

    def encode(self, x: Float[Tensor, "batch *x"]) -> Float[Tensor, "batch width"]:
        """Returns the input's share of the layer in which the paths meet, its bias included."""
        return F.linear(self.image(as_picture(x)), self.fuse.weight[:, : self.width], self.fuse.bias)

    def decide(
        self, z: Float[Tensor, "batch z"], encoded: Float[Tensor, "batch width"], t: Tensor | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Returns the logits for label embeddings `z` and inputs as `encode` gives them."""
        label = self.label(z.view(-1, *self.z_shape) if self.picture_labels else z)
        if self.label_residual is not None:
            label = label + self.label_residual(label)
        of_image, of_label = self.width, 2 * self.width
        hidden = encoded + F.linear(label, self.fuse.weight[:, of_image:of_label])
        if self.time is not None:
            hidden = hidden + F.linear(self.time(t), self.fuse.weight[:, of_label:])
        return self.out(hidden)

    def forward(self, z: Tensor, x: Tensor, t: Tensor | None = None) -> Float[Tensor, "batch classes"]:
        return self.decide(z, self.encode(x), t)


def _residual(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.BatchNorm1d(width)
    )


def _convolutions(shape: tuple[int, int, int], channels: tuple[int, ...], dropout: float) -> tuple[nn.Sequential, int]:
    """Returns the convolutions and how many numbers they give."""
    before, height, width = shape
    layers: list[nn.Module] = []
    for place, after in enumerate(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        if place != 1:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            height, width = -(-height // 2), -(-width // 2)
        layers.append(nn.Dropout(dropout))
        before = after
    return nn.Sequential(*layers, nn.Flatten()), before * height * width
