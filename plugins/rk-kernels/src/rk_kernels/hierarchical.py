"""Kernels of deep convolutional networks with patches that do not overlap.

Cagnetta, Favero and Wyart 2023, arXiv:2208.01003.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rk_kernels.covariance import Covariance, Kind, inner_products, variances
from rk_kernels.duals import Dual, Relu
from rk_kernels.layers import Activation, Dense, Layer, PatchMean, serial


def hierarchical(
    x1: Tensor,
    x2: Tensor | None,
    filter_sizes: Sequence[int],
    kind: Kind = "ntk",
    dual: Dual | None = None,
    *,
    normalise: bool = True,
) -> Tensor:
    """Returns the kernel matrix (n1, n2) between inputs of shape (n, size).

    Memory is size / filter_sizes[0] matrices: `rk_kernels.tiles.tiled` bounds it.

    Args:
        x1: (n1, size).
        x2: (n2, size); None: `x1` again.
        filter_sizes: s_1 ... s_L of the hidden layers; their product divides `size`.
        kind: The NTK or the NNGP ("RFK" in the paper).
        dual: Of the activation, normalised; None: sqrt(2) relu.
        normalise: Divides each patch by its norm: the theory is about patches on spheres.

    Raises:
        ValueError: When the filters do not divide the inputs.
    """
    entered = patches(x1, x2, filter_sizes, normalise=normalise)
    return network(filter_sizes, dual)(entered).matrix(kind)


def network(filter_sizes: Sequence[int], dual: Dual | None = None) -> Layer:
    """Returns the layers after the patches; the last average is the read-out's."""
    dual = dual or Relu.normalised()
    layers: list[Layer] = []
    for size in (*filter_sizes[1:], None):  # after layer l, s_{l+1} neighbours are averaged; after the last, all
        layers += [Activation(dual), Dense(), PatchMean(size)]
    return serial(*layers)


def patches(x1: Tensor, x2: Tensor | None, filter_sizes: Sequence[int], *, normalise: bool = True) -> Covariance:
    """Returns the covariances of equal patches, (patches, n1, n2), which enter the network."""
    first = _cut(x1, filter_sizes, normalise)
    second = None if x2 is None else _cut(x2, filter_sizes, normalise)
    return inner_products(first, second, start="nngp")


def patch_variances(x: Tensor, filter_sizes: Sequence[int], normalise: bool) -> Covariance:
    """Returns the variances of all patches, without the pairs."""
    return variances(_cut(x, filter_sizes, normalise).square().sum(-1), start="nngp")


def check_filters(filter_sizes: Sequence[int], size: int) -> None:
    """Raises `ValueError` when the product of the filters does not divide inputs of `size` numbers."""
    if not filter_sizes or min(filter_sizes) < 1 or size % math.prod(filter_sizes):
        raise ValueError(f"filter_sizes must divide inputs of {size} features, got {tuple(filter_sizes)}")


def _cut(x: Tensor, filter_sizes: Sequence[int], normalise: bool) -> Tensor:
    """Returns (patches, n, size)."""
    check_filters(filter_sizes, x.shape[-1])
    x = x.unflatten(-1, (-1, filter_sizes[0])).transpose(0, 1)
    return x / x.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny) if normalise else x
