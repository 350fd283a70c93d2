"""The layer `image-attention`: softmax attention between all positions of an image."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# b batch, i, o channels, h height, w width, d width of the heads


class ImageAttention(nn.Module):
    """Softmax attention over several heads between all positions (arXiv:1706.03762, Eq. 1), as in ViT.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Every how many-th position answers, in both directions.
        num_heads: Heads, which divide `in_channels`.

    Raises:
        ValueError: When the heads do not divide `in_channels`.

    Examples:
        model: {name: vit, mixers: [{name: image-attention, num_heads: 4}], patch_size: 8}

        >>> ImageAttention(in_channels=8, out_channels=16)(torch.randn(2, 8, 3, 5)).shape
        torch.Size([2, 16, 3, 5])
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        stride: Annotated[int, Ge(1)] = 1,
        num_heads: Annotated[int, Ge(1)] = 4,
    ) -> None:
        super().__init__()
        if in_channels % num_heads:
            raise ValueError(f"num_heads must divide a width of {in_channels}, got {num_heads}")
        self.num_heads = num_heads
        self.stride = stride
        self.query = nn.Linear(in_channels, in_channels)
        self.key_value = nn.Linear(in_channels, 2 * in_channels)
        self.out = nn.Linear(in_channels, out_channels)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Maps an image of any size."""
        asked = x[..., :: self.stride, :: self.stride]
        query = self._split(self.query(asked.flatten(2).mT))
        key, value = (self._split(part) for part in self.key_value(x.flatten(2).mT).chunk(2, -1))
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return self.out(mixed).mT.unflatten(2, asked.shape[-2:])

    def _split(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b heads t c"]:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
