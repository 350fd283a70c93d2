"""A small convolutional block, sized for a CPU."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn

from rk_vision.fusion import Fusion
from rk_vision.shapes import as_picture, picture_shape


class _Picture(nn.Module):
    """Gives grey images their channel, and puts channels last in memory: convolutions on a CPU are then faster."""

    def forward(self, x: Tensor) -> Tensor:
        return as_picture(x).contiguous(memory_format=torch.channels_last)


class ConvBlock(Fusion):
    """Convolutions for the input; a linear layer and ReLU each for what they see, label and time; then as `MLPBlock`.

    A stage is a convolution with a stride of 2, batch normalisation and ReLU.

    Args:
        x_shape: Shape of one input: (channels, height, width), or (height, width) of grey ones.
        z_shape: Shape of one label embedding; it is flattened.
        num_classes: Classes.
        timed: Whether the block is given a time.
        channels: Channels of each stage.
        kernel_size: Height and width of the convolutions; odd.
        hidden_size: Width of the linear layers.
        batch_norm: Whether stages normalise.
        dropout: Share of the last stage's numbers that is set to zero in training.

    Examples:
        model: {name: noprop-chain, block: {name: conv-block, channels: [16, 32]}}

        >>> block = ConvBlock(x_shape=(1, 8, 8), z_shape=(10,), num_classes=10)
        >>> block(torch.randn(2, 10), torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        x_shape: tuple[int, ...],
        z_shape: tuple[int, ...],
        num_classes: int,
        timed: bool = False,
        channels: tuple[Annotated[int, Ge(1)], ...] = (16, 32),
        kernel_size: Annotated[int, Ge(1)] = 5,
        hidden_size: Annotated[int, Ge(1)] = 128,
        batch_norm: bool = True,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        before, height, width = picture_shape(x_shape)
        layers: list[nn.Module] = [_Picture()]
        for after in channels:
            layers.append(
                nn.Conv2d(before, after, kernel_size, stride=2, padding=kernel_size // 2, bias=not batch_norm)
            )
            layers += [nn.BatchNorm2d(after)] * batch_norm + [nn.ReLU()]
            before, height, width = after, -(-height // 2), -(-width // 2)
        layers += [nn.Flatten()] + [nn.Dropout(dropout)] * bool(dropout)
        layers += [nn.Linear(before * height * width, hidden_size), nn.ReLU()]
        super().__init__(nn.Sequential(*layers), hidden_size, math.prod(z_shape), num_classes, timed)
