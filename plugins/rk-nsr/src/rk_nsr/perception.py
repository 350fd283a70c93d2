"""Perception: which symbol an image shows."""

from __future__ import annotations

from typing import Annotated, Protocol

from annotated_types import Ge, Lt
from jaxtyping import Float
from torch import Tensor, nn

from rk.protocols import Layer


class Perception(Layer, Protocol):
    """Maps images of (images, height, width) to scores of (images, symbols): the slot of `nsr-images`."""

    def __init__(self, *, input_shape: tuple[int, ...], vocab_size: int) -> None: ...

    def forward(self, images: Tensor) -> Tensor:
        """Returns scores of (images, symbols)."""
        ...


class SymbolCnn(nn.Module):
    """Two convolutions, a pooling and a hidden layer: enough for small images of one symbol each.

    The paper has a ResNet-18 (arXiv:2210.01603, App. C).

    Args:
        input_shape: Height and width of images, both from 2.
        vocab_size: Symbols.
        channels: Channels of the first convolution; the second has twice as many.
        hidden_size: Width of the hidden layer.
        dropout: Share of the hidden layer that is dropped in training.

    Examples:
        model: {name: nsr-images, dsl: peano-dsl, perception: symbol-cnn}

        >>> import torch
        >>> SymbolCnn(input_shape=(8, 8), vocab_size=16)(torch.zeros(3, 8, 8)).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        vocab_size: int,
        channels: Annotated[int, Ge(1)] = 24,
        hidden_size: Annotated[int, Ge(1)] = 96,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.2,
    ) -> None:
        super().__init__()
        height, width = input_shape
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * channels * (height // 2) * (width // 2), hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, vocab_size),
        )

    def forward(self, images: Float[Tensor, "images height width"]) -> Float[Tensor, "images symbols"]:
        scores: Tensor = self.layers(images[:, None])
        return scores
