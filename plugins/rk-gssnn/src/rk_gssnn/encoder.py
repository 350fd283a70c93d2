"""The model `pixel-vit`: the encoder of the paper, and its baseline."""

from __future__ import annotations

import math
from typing import Annotated, Protocol, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from rk.protocols import Model


class AnswerOutputs(TypedDict):
    """Unnormalised scores over the classes, of one answer or of several."""

    logits: Float[Tensor, "batch *positions classes"]


class ImageEncoder(Model, Protocol):
    """The encoder of `gssnn`: any model that classifies images; its logits, (batch, num_classes), are features."""

    def __init__(self, *, num_classes: int) -> None: ...


class PixelViT(nn.Module):
    """Pixels into channels, residual convolutions, a small transformer, a mean (arXiv:2303.03340).

    An image is cut into patches; the pixels of a patch are its channels. Residual blocks follow, x + (convolution
    3 x 3, layer normalisation, convolution 1 x 1, GELU, convolution 1 x 1), then positions as fixed sines and cosines,
    a pre-norm transformer (SimpleViT, arXiv:2205.01580), the mean over the patches and a linear map.

    Args:
        input_shape: Shape of one input: (channels, height, width), or (height, width) of grey ones.
        num_classes: Classes.
        num_answers: Answers of `num_classes` each; 1: a single one.
        patch_size: Pixels a side of a patch; it must divide height and width.
        d_model: Width.
        conv_layers: Residual blocks.
        num_layers: Layers of the transformer.
        num_heads: Heads.
        head_size: Width of a head.
        hidden_size: Width of the hidden layer behind attention.

    Raises:
        ValueError: When patches do not fit, or `d_model` is not a multiple of 4 from 8 on.

    Examples:
        model: {name: pixel-vit, patch_size: 8, d_model: 64}

        >>> net = PixelViT(input_shape=(1, 32, 32), num_classes=2, patch_size=8, d_model=16)
        >>> net(inputs=torch.rand(3, 1, 32, 32))["logits"].shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        input_shape: tuple[Annotated[int, Ge(1)], ...],
        num_classes: int,
        num_answers: Annotated[int, Ge(1)] = 1,
        patch_size: Annotated[int, Ge(1)] = 16,
        d_model: Annotated[int, Ge(8)] = 256,
        conv_layers: Annotated[int, Ge(0)] = 3,
        num_layers: Annotated[int, Ge(0)] = 2,
        num_heads: Annotated[int, Ge(1)] = 4,
        head_size: Annotated[int, Ge(1)] = 128,
        hidden_size: Annotated[int, Ge(1)] = 512,
    ) -> None:
        super().__init__()
        if len(input_shape) not in (2, 3):
            raise ValueError(f"input_shape must be (channels, height, width) or (height, width), got {input_shape}")
        channels = 1 if len(input_shape) == 2 else input_shape[0]
        height, width = input_shape[-2:]
        if height % patch_size or width % patch_size:
            raise ValueError(f"patch_size must divide {height} and {width}, got {patch_size}")
        if d_model % 4:
            raise ValueError(f"d_model must be a multiple of 4, got {d_model}")
        self.num_answers = num_answers
        down, across = height // patch_size, width // patch_size
        self.patches = nn.Sequential(
            nn.PixelUnshuffle(patch_size), nn.Conv2d(channels * patch_size**2, d_model, kernel_size=1)
        )
        self.convolutions = nn.Sequential(*(_Residual(d_model, down, across) for _ in range(conv_layers)))
        rows, columns = torch.arange(down).repeat_interleave(across), torch.arange(across).repeat(down)
        self.positions: Tensor
        self.register_buffer("positions", sines(columns, rows, d_model), persistent=False)
        self.blocks = nn.ModuleList(_Block(d_model, num_heads, head_size, hidden_size) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, num_answers * num_classes)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> AnswerOutputs:
        """Returns logits of (batch, classes), or of (batch, answers, classes)."""
        images = inputs.unsqueeze(1) if inputs.dim() == 3 else inputs
        hidden = self.convolutions(self.patches(images)).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            hidden = block(hidden)
        logits = self.head(self.norm(hidden).mean(1))
        return {"logits": logits if self.num_answers == 1 else logits.unflatten(1, (self.num_answers, -1))}


def sines(x: Tensor, y: Tensor, size: int) -> Float[Tensor, "places size"]:
    """Returns places on a plane as sines and cosines of x and of y, at size / 4 frequencies down to 1 / 10000.

    Args:
        x: (places,).
        y: (places,).
        size: A multiple of 4, 8 at least.
    """
    omega = torch.exp(-math.log(10_000) * torch.arange(size // 4) / (size // 4 - 1))
    one, other = x.float()[:, None] * omega, y.float()[:, None] * omega
    return torch.cat([one.sin(), one.cos(), other.sin(), other.cos()], -1)


class _Residual(nn.Module):
    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.LayerNorm([channels, height, width]),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.GELU(),
            nn.Conv2d(channels, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.net(x)
        return y


class _Block(nn.Module):
    def __init__(self, d_model: int, num_heads: int, head_size: int, hidden_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * num_heads * head_size, bias=False)
        self.out = nn.Linear(num_heads * head_size, d_model, bias=False)
        self.mlp = nn.Sequential(
            nn.LayerNorm(d_model), nn.Linear(d_model, hidden_size), nn.GELU(), nn.Linear(hidden_size, d_model)
        )

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(self.norm(x)).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        y: Tensor = x + self.mlp(x)
        return y
