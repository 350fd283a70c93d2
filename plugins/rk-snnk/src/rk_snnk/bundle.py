"""Linear layers with activations as one trainable matrix behind fixed random features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rk import Factory
from rk_snnk.features import FeatureLayer


def bundled(towers: Sequence[FeatureLayer], weights: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
    """Returns the one matrix that replaces several: W_k y_{k-1} = (W_k Psi_{k-1}) Phi_{k-1}(y_{k-2}).

    Args:
        towers: Phi_1, ..., Phi_L with their Psi; each takes what the one before gives.
        weights: W_1, ..., W_L with their biases, or None.

    Returns:
        Psi_L(W_L ... Psi_1(W_1)), (units of the last layer, size of the last features).
    """
    found: Tensor | None = None
    for tower, (weight, bias) in zip(towers, weights, strict=True):
        found = tower.of_weights(weight if found is None else weight @ found, bias)
    if found is None:
        raise ValueError("a bundle must have one layer at least")
    return found


class Snnk(nn.Module):
    """A layer y = V Phi(x), or several in a bundle, y = V Phi_L(... Phi_1(x)).

    Args:
        towers: Phi_1, ..., Phi_L: fixed.
        weights: Those of the linear layers that it replaces: V begins as their bundle.

    Attributes:
        weight: V, (units, size of the last features).
    """

    def __init__(self, towers: Sequence[FeatureLayer], weights: Sequence[tuple[Tensor, Tensor | None]]) -> None:
        super().__init__()
        self.towers = nn.Sequential(*towers)  # type: ignore[call-overload]  # each of them is a module
        with torch.no_grad():
            self.weight = nn.Parameter(bundled(towers, weights))

    def features(self, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows size"]:
        """Returns Phi_L(... Phi_1(x))."""
        found: Tensor = self.towers(x)
        return found

    def forward(self, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows units"]:
        """Returns V Phi_L(... Phi_1(x)); no activation follows."""
        return functional.linear(self.features(x), self.weight)


def new_bundle(features: Factory[FeatureLayer], sizes: Sequence[int]) -> Snnk:
    """Returns a layer in place of new linear layers with an activation each.

    Args:
        features: Builds the features of each layer.
        sizes: Width of the input, then of each layer; those in between are in no tensor of the result.
    """
    towers: list[FeatureLayer] = []
    weights: list[tuple[Tensor, Tensor | None]] = []
    width = sizes[0]
    for before, after in pairwise(sizes):
        towers.append(features(in_features=width))
        width = towers[-1].size
        bound = 1 / math.sqrt(before)
        weights.append((torch.empty(after, before).uniform_(-bound, bound), None))
    return Snnk(towers, weights)
