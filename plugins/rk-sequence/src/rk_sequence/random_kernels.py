"""Model `random-kernels`: a linear model over random convolutions (ROCKET), the baseline of networks on series."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from rk.sampling import generator
from rk_sequence.fields import SequenceOutputs

WIDTH = 9
"""Steps that a kernel sees."""


class RandomKernels(nn.Module):
    """Random convolutions that are never trained, and a linear model over what each gives (arXiv:1910.13051).

    A kernel has 9 weights from a normal distribution with their mean subtracted, a bias from -1 to 1, and one of the
    dilations 1, 2, 4, ... at which it fits into the longest training series. Of several channels it sees a random
    choice. It gives two features: the share of steps at which it is positive, and its maximum (Sec. 3.2). Padded steps
    count for neither. The head is zero until a trainer such as `ridge` solves for it.

    Args:
        num_features: Channels.
        num_steps: Steps of the longest series, which bounds the dilation.
        num_outputs: Classes, or numbers to predict.
        seed: Of the kernels.
        num_kernels: Kernels; ROCKET has 10000.

    Examples:
        model: {name: random-kernels, num_kernels: 500}

        >>> model = RandomKernels(num_features=2, num_steps=30, num_outputs=3, seed=0, num_kernels=8)
        >>> model(inputs=torch.zeros(4, 30, 2))["logits"].shape
        torch.Size([4, 3])
    """

    def __init__(
        self,
        num_features: int,
        num_steps: int,
        num_outputs: int,
        seed: int,
        num_kernels: Annotated[int, Ge(1)] = 1000,
    ) -> None:
        super().__init__()
        most = int(math.log2(max(1, (num_steps - 1) / (WIDTH - 1))))
        self.dilations = [2**power for power in range(most + 1)]
        random = generator(seed, "random-kernels")
        weights = torch.randn(num_kernels, num_features, WIDTH, generator=random)
        weights = weights - weights.mean(-1, keepdim=True)
        self.register_buffer("weights", weights * _chosen(num_kernels, num_features, random).unsqueeze(-1))
        self.register_buffer("biases", 2 * torch.rand(num_kernels, generator=random) - 1)
        self.head = nn.Linear(2 * num_kernels, num_outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.weights: Tensor
        self.biases: Tensor

    def forward(
        self, *, inputs: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> SequenceOutputs:
        """Returns scores over the classes, or numbers; `mask` is True where a step exists."""
        numbers = self.head(self.features(inputs, mask))
        return {"logits": numbers, "values": numbers}

    def features(
        self, inputs: Float[Tensor, "batch time features"], mask: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch twice_kernels"]:
        """Returns the share of positive steps of every kernel, then the maximum of every kernel."""
        exists = torch.ones_like(inputs[..., 0], dtype=torch.bool) if mask is None else mask
        series = (inputs * exists.unsqueeze(-1)).movedim(1, 2)
        there = exists.unsqueeze(1)
        steps = there.sum(-1).clamp(min=1)
        shares, tops = [], []
        for i, dilation in enumerate(self.dilations):
            mine = slice(i, None, len(self.dilations))
            weights, biases = self.weights[mine], self.biases[mine]
            if not len(weights):
                continue
            found = F.conv1d(series, weights, biases, padding=dilation * (WIDTH // 2), dilation=dilation)
            shares.append(((found > 0) & there).sum(-1) / steps)
            tops.append(found.masked_fill(~there, -torch.inf).amax(-1))
        return torch.cat([*shares, *tops], 1)


def _chosen(kernels: int, channels: int, random: torch.Generator) -> Float[Tensor, "kernels channels"]:
    """Returns 1 for the channels that each kernel sees, over the root of their number: 2**u with a uniform u."""
    most = math.log2(min(channels, WIDTH) + 1)
    counts = (2 ** (most * torch.rand(kernels, 1, generator=random))).long().clamp(1, channels)
    order = torch.rand(kernels, channels, generator=random).argsort(1).argsort(1)
    return (order < counts).float() / counts.sqrt()
