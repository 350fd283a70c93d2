"""The models `lcn` and `image-lcn`: finite networks whose patches do not overlap, in the tangent kernel's scaling."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float
from rk_kernels.hierarchical import check_filters
from rk_kernels.ntk_mlp import NTKOutputs
from torch import Tensor, nn

from rk_wide_cnn.order import interval_sizes, tree_order


class LCN(nn.Module):
    """A locally connected or convolutional network over vectors: with its width, it tends to `hierarchical-kernel`.

    Cagnetta, Favero and Wyart 2023, arXiv:2208.01003: f_1 = sqrt(2) relu(w . patch), f_l = sqrt(2) relu(w . (f_(l-1) of
    s_l neighbours) / sqrt(s_l width)), and a linear read-out of all units; weights are N(0, 1), without biases. The
    limit is the same with shared weights, as the read-out has its own weight for each place.

    Args:
        filter_sizes: Sizes of the filters, layer by layer; their product divides the size of an input. One filter of
            the input's size is a fully connected network.
        num_features: Numbers per example; a fact of the data.
        num_outputs: Numbers that are answered.
        hidden_size: Units at each place.
        share_weights: The same weights at each place of a layer: a convolutional network.
        normalise: Divides each patch of the input by its norm.

    Examples:
        model: {name: lcn, filter_sizes: [2, 2, 2], hidden_size: 256}

        >>> LCN(filter_sizes=(2, 2), num_features=8, num_outputs=1)(inputs=torch.rand(5, 8))["values"].shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        filter_sizes: tuple[Annotated[int, Ge(1)], ...],
        num_features: int,
        num_outputs: Annotated[int, Ge(1)],
        hidden_size: Annotated[int, Ge(1)] = 128,
        share_weights: bool = False,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        check_filters(filter_sizes, num_features)
        self.filter_sizes = tuple(filter_sizes)
        self.normalise = normalise
        places, before = num_features, 1
        shapes: list[tuple[int, int, int]] = []
        for size in filter_sizes:
            places //= size
            shapes.append((1 if share_weights else places, size * before, hidden_size))
            before = hidden_size
        self.weights = nn.ParameterList(torch.randn(shape) for shape in shapes)
        self.readout = nn.Parameter(torch.randn(places * hidden_size, num_outputs))

    def forward(self, *, inputs: Float[Tensor, "batch *shape"]) -> NTKOutputs:
        """Returns (batch, outputs), under both names."""
        hidden = self._entered(inputs.flatten(1)).unsqueeze(-1)  # (batch, places, units)
        for layer, (size, weight) in enumerate(zip(self.filter_sizes, self.weights, strict=True)):
            patches = hidden.unflatten(1, (-1, size)).flatten(2)
            if layer:
                patches = patches / math.sqrt(patches.shape[-1])
            elif self.normalise:
                patches = nn.functional.normalize(patches, dim=-1)
            # One product per place
            hidden = (patches.transpose(0, 1) @ weight).transpose(0, 1)
            hidden = math.sqrt(2) * hidden.relu()
        values = hidden.flatten(1) @ self.readout / math.sqrt(len(self.readout))
        return {"logits": values, "values": values}

    def _entered(self, inputs: Tensor) -> Tensor:
        """Returns the numbers of (batch, features) in the order in which patches are intervals."""
        return inputs


class ImageLCN(LCN):
    """`lcn` over images: the limit is `image-hierarchical-kernel`.

    Args:
        filter_sizes: Sides of the square filters, layer by layer; their product divides height and width.
        input_shape: (height, width) or (channels, height, width); a fact of the data.

    Examples:
        model: {name: image-lcn, filter_sizes: [2, 4], num_outputs: 10}

        >>> net = ImageLCN(filter_sizes=(2, 4), input_shape=(8, 8), num_outputs=10)
        >>> net(inputs=torch.rand(5, 8, 8))["logits"].shape
        torch.Size([5, 10])
    """

    order: Tensor

    def __init__(
        self, filter_sizes: tuple[Annotated[int, Ge(1)], ...], input_shape: tuple[int, ...], **common: Any
    ) -> None:
        order = tree_order(input_shape, filter_sizes)
        intervals = interval_sizes(input_shape, filter_sizes)
        super().__init__(filter_sizes=intervals, num_features=len(order), **common)
        self.register_buffer("order", order, persistent=False)

    def _entered(self, inputs: Tensor) -> Tensor:
        return inputs[:, self.order]
