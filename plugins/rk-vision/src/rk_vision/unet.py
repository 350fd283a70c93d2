"""Model `unet`: a small U-Net, and `patch-linear`, its linear baseline."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk_vision.shapes import as_picture, picture_shape


class PixelOutputs(TypedDict):
    """Unnormalised scores of each pixel."""

    logits: Float[Tensor, "batch height width classes"]


class UNet(nn.Module):
    """A contracting path, an expanding one, and links between stages of one size (Ronneberger et al., 2015).

    A stage is two convolutions 3 x 3 with batch normalisation and ReLU (arXiv:1505.04597, Sec. 2). Between stages of
    the contracting path is max-pooling; the expanding path scales up by bilinear interpolation, joins what the stage of
    the same size gave, and convolves again. Convolutions are padded: the answer has the size of the image.

    Args:
        input_shape: Shape of one input: (channels, height, width).
        num_classes: Classes of pixels.
        channels: Channels of each stage; each but the first halves height and width.

    Examples:
        model: {name: unet, channels: [16, 32, 64]}

        >>> UNet(input_shape=(3, 20, 30), num_classes=2)(inputs=torch.rand(1, 3, 20, 30))["logits"].shape
        torch.Size([1, 20, 30, 2])
    """

    def __init__(
        self,
        input_shape: tuple[Annotated[int, Ge(1)], ...],
        num_classes: int,
        channels: tuple[Annotated[int, Ge(1)], ...] = (16, 32, 64),
    ) -> None:
        super().__init__()
        if not channels:
            raise ValueError("channels must have at least one stage")
        first, height, width = picture_shape(input_shape)
        if min(height, width) < 2 ** (len(channels) - 1):
            raise ValueError(f"{len(channels)} stages need images of {2 ** (len(channels) - 1)} pixels a side or more")
        self.down = nn.ModuleList(_stage(a, b) for a, b in pairwise((first, *channels)))
        self.up = nn.ModuleList(_stage(a + b, b) for a, b in pairwise(channels[::-1]))
        self.head = nn.Conv2d(channels[0], num_classes, 1)

    def forward(self, *, inputs: Float[Tensor, "batch channels height width"]) -> PixelOutputs:
        """Returns logits of (batch, height, width, classes)."""
        hidden = as_picture(inputs)
        kept = []
        for number, stage in enumerate(self.down):
            hidden = stage(F.max_pool2d(hidden, 2) if number else hidden)
            kept.append(hidden)
        for stage, before in zip(self.up, kept[-2::-1], strict=True):
            larger = F.interpolate(hidden, before.shape[-2:], mode="bilinear", align_corners=False)
            hidden = stage(torch.cat([larger, before], 1))
        return {"logits": self.head(hidden).movedim(1, -1)}


class PatchLinear(nn.Module):
    """Scores of a pixel that are linear in the square of pixels around it: the baseline of networks for segmentation.

    Args:
        input_shape: Shape of one input: (channels, height, width).
        num_classes: Classes of pixels.
        side: Pixels of the square's side; odd.

    Examples:
        model: {name: patch-linear, side: 9}

        >>> PatchLinear(input_shape=(3, 20, 30), num_classes=2)(inputs=torch.rand(1, 3, 20, 30))["logits"].shape
        torch.Size([1, 20, 30, 2])
    """

    def __init__(
        self,
        input_shape: tuple[Annotated[int, Ge(1)], ...],
        num_classes: int,
        side: Annotated[int, Ge(1)] = 9,
    ) -> None:
        super().__init__()
        if side % 2 == 0:
            raise ValueError(f"side must be odd, got {side}")
        self.head = nn.Conv2d(picture_shape(input_shape)[0], num_classes, side, padding=side // 2)

    def forward(self, *, inputs: Float[Tensor, "batch channels height width"]) -> PixelOutputs:
        """Returns logits of (batch, height, width, classes)."""
        return {"logits": self.head(as_picture(inputs)).movedim(1, -1)}


def _stage(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a in (before, after):
        layers += [nn.Conv2d(a, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)
