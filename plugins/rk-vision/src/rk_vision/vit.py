"""Model `vit`: a vision transformer with a slot for what mixes its patches."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk.fields import LogitsOutputs
from rk.protocols import Factory, ImageLayer
from rk_vision.shapes import as_picture, picture_shape

# b batch, h height and w width in patches, d width


class VisionTransformer(nn.Module):
    """Patches of an image, learned positions, and residual blocks of a mixer and an MLP (arXiv:2010.11929, Sec. 3.1).

    With `image-attention` it is ViT, without its class token. Images of another size than those of training have other
    numbers of patches; their positions are interpolated.

    Args:
        input_shape: Shape of one input: (channels, height, width), or (height, width) of grey ones.
        num_classes: Classes.
        mixers: What mixes patches. Blocks take them in turn: with two, every second block has the second.
        patch_size: Height and width of a patch; it divides those of the images.
        d_model: Width of a patch inside.
        num_layers: Blocks.
        mlp_ratio: Width of the MLPs' hidden layers, as a multiple of `d_model`.
        positions: Whether patches have learned positions.
        pool: Answers come from the `mean` over all patches, or from those in the four `corners`.
        dropout: Share of what mixers and MLPs give that is dropped in training.

    Attributes:
        blocks: The blocks, each from (batch, h, w, d_model) to the same shape.
        keeps_shape: True.

    Raises:
        ValueError: When the patches do not divide the image, or there is no mixer.

    Examples:
        model: {name: vit, mixers: [image-attention], patch_size: 8, d_model: 64, num_layers: 4}

        >>> from rk_vision.image_attention import ImageAttention
        >>> model = VisionTransformer(input_shape=(3, 16, 16), num_classes=2, mixers=[ImageAttention], patch_size=4)
        >>> model(inputs=torch.rand(2, 3, 16, 24))["logits"].shape
        torch.Size([2, 2])
    """

    keeps_shape = True

    def __init__(
        self,
        input_shape: tuple[Annotated[int, Ge(1)], ...],
        num_classes: int,
        mixers: list[Factory[ImageLayer]],
        patch_size: Annotated[int, Ge(1)] = 8,
        d_model: Annotated[int, Ge(1)] = 64,
        num_layers: Annotated[int, Ge(1)] = 2,
        mlp_ratio: Annotated[int, Ge(1)] = 4,
        positions: bool = True,
        pool: Literal["mean", "corners"] = "mean",
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        channels, height, width = picture_shape(input_shape)
        if height % patch_size or width % patch_size:
            raise ValueError(f"patch_size must divide images of {height} x {width}, got {patch_size}")
        if not mixers:
            raise ValueError("mixers must have at least one layer, got none")
        self.pool = pool
        self.embed = nn.Conv2d(channels, d_model, patch_size, stride=patch_size)
        assert self.embed.bias is not None
        nn.init.zeros_(self.embed.bias)  # a norm follows: an empty patch begins as its position
        grid = (height // patch_size, width // patch_size)
        self.positions = nn.Parameter(0.02 * torch.randn(d_model, *grid)) if positions else None
        self.blocks = nn.ModuleList(
            MixerBlock(mixers[i % len(mixers)](in_channels=d_model, out_channels=d_model), d_model, mlp_ratio, dropout)
            for i in range(num_layers)
        )
        self.norm = nn.RMSNorm(d_model)
        self.head = nn.Linear(d_model * (4 if pool == "corners" else 1), num_classes)

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> LogitsOutputs:
        """Returns logits of (batch, classes)."""
        hidden, _ = self.enter(inputs=inputs)
        for block in self.blocks:
            hidden = block(hidden)
        return self.leave(hidden)

    def enter(self, *, inputs: Float[Tensor, "batch *shape"]) -> tuple[Float[Tensor, "b h w d"], tuple[()]]:
        """Returns the embedded patches; what an image has beyond whole patches is left out."""
        hidden = self.embed(as_picture(inputs))
        if self.positions is not None:
            hidden = hidden + self._placed(hidden.shape[-2], hidden.shape[-1])
        return hidden.movedim(1, -1), ()

    def _placed(self, height: int, width: int) -> Float[Tensor, "d h w"]:
        """Returns the positions of a grid of this size."""
        assert self.positions is not None
        if self.positions.shape[1:] == (height, width):
            return self.positions
        return F.interpolate(self.positions.unsqueeze(0), (height, width), mode="bicubic", align_corners=False)[0]

    def leave(self, hidden: Float[Tensor, "b h w d"]) -> LogitsOutputs:
        """Returns logits of (batch, classes) from what the last block gave."""
        hidden = self.norm(hidden)
        if self.pool == "corners":
            read = torch.cat([hidden[:, y, x] for y in (0, -1) for x in (0, -1)], -1)
        else:
            read = hidden.mean((1, 2))
        return {"logits": self.head(read)}


class MixerBlock(nn.Module):
    """A mixer of patches and an MLP, each behind a norm, both added to their input.

    Args:
        mixer: The mixer.
        d_model: Width.
        mlp_ratio: Width of the MLP's hidden layer, as a multiple of `d_model`.
        dropout: Share of what both give that is dropped in training.
    """

    def __init__(self, mixer: ImageLayer, d_model: int, mlp_ratio: int, dropout: float) -> None:
        super().__init__()
        self.mixer_norm, self.mlp_norm = nn.RMSNorm(d_model), nn.RMSNorm(d_model)
        self.mixer = mixer
        self.mlp = nn.Sequential(
            nn.Linear(d_model, mlp_ratio * d_model), nn.GELU(), nn.Linear(mlp_ratio * d_model, d_model)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b h w d"]) -> Float[Tensor, "b h w d"]:
        mixed = self.mixer(self.mixer_norm(x).movedim(-1, 1)).movedim(1, -1)
        x = x + self.dropout(mixed)
        return x + self.dropout(self.mlp(self.mlp_norm(x)))
