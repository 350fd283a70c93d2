"""A block of linear layers, of which many are computed in one go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float, Int
from torch import Tensor, nn

from rk_vision.fusion import Fusion


class Glimpse(nn.Module):
    """Flattens inputs and keeps some of their features, drawn once.

    Args:
        num_features: Features of an input.
        kept: How many of them are kept.
    """

    def __init__(self, num_features: int, kept: int) -> None:
        super().__init__()
        seen = torch.randperm(num_features)[:kept].sort().values if kept < num_features else torch.arange(num_features)
        self.register_buffer("seen", seen)
        self.whole = kept >= num_features

    seen: Int[Tensor, "kept"]

    def forward(self, x: Float[Tensor, "batch *x"]) -> Float[Tensor, "batch kept"]:
        flat = x.flatten(1)
        return flat if self.whole else flat[:, self.seen]


class MLPBlock(Fusion):
    """A linear layer and ReLU each for input, label and time; then one that joins them, ReLU, and the classes.

    Args:
        x_shape: Shape of one input; it is flattened.
        z_shape: Shape of one label embedding; it is flattened.
        num_classes: Classes.
        timed: Whether the block is given a time.
        hidden_size: Width of all layers.
        visible: Share of the input's features that the block sees, drawn when it is made: less makes a block that is
            too weak alone, so that a chain of blocks has something to add.

    Examples:
        model: {name: noprop-chain, block: {name: mlp-block, hidden_size: 64, visible: 0.25}}

        >>> block = MLPBlock(x_shape=(8, 8), z_shape=(10,), num_classes=10)
        >>> block(torch.randn(2, 10), torch.rand(2, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        x_shape: tuple[int, ...],
        z_shape: tuple[int, ...],
        num_classes: int,
        timed: bool = False,
        hidden_size: Annotated[int, Ge(1)] = 64,
        visible: Annotated[float, Gt(0), Le(1)] = 1.0,
    ) -> None:
        num_features = math.prod(x_shape)
        kept = max(1, round(visible * num_features))
        image = nn.Sequential(Glimpse(num_features, kept), nn.Linear(kept, hidden_size), nn.ReLU())
        super().__init__(image, hidden_size, math.prod(z_shape), num_classes, timed)

    @property
    def glimpse(self) -> Glimpse:
        """What the block sees of an input."""
        found = self.image.get_submodule("0")
        assert isinstance(found, Glimpse)
        return found

    @property
    def linear(self) -> nn.Linear:
        """The first layer over it."""
        found = self.image.get_submodule("1")
        assert isinstance(found, nn.Linear)
        return found

    def together(
        self, others: Sequence[MLPBlock], z: Float[Tensor, "blocks batch z"], x: Float[Tensor, "batch *x"]
    ) -> Float[Tensor, "blocks batch classes"]:
        """Returns the logits of this block and of `others`: one matrix product per layer instead of one per block.

        Raises:
            ValueError: For blocks that are given a time: they are single.
        """
        blocks = (self, *others)
        if any(block.time is not None for block in blocks):
            raise ValueError("blocks that are given a time cannot be computed together")
        linear = [block.linear for block in blocks]
        glimpses = [block.glimpse for block in blocks]
        if all(g.whole for g in glimpses):  # one product for all blocks: they read the same
            weight, bias = torch.cat([m.weight for m in linear]), torch.cat([m.bias for m in linear])
            of_image = torch.addmm(bias, x.flatten(1), weight.T).view(len(x), len(blocks), self.width).transpose(0, 1)
        else:
            of_image = _linear(linear, torch.stack([g(x) for g in glimpses]))
        of_label = _linear([block.label for block in blocks], z)
        hidden = _linear([block.fuse for block in blocks], torch.cat([of_image, of_label], dim=-1).relu())
        return _linear([block.out for block in blocks], hidden.relu())


def _linear(layers: Sequence[nn.Linear], x: Float[Tensor, "blocks batch n"]) -> Float[Tensor, "blocks batch m"]:
    """Returns each layer of its own slice of `x`."""
    weight = torch.stack([layer.weight for layer in layers])
    bias = torch.stack([layer.bias for layer in layers])
    return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
