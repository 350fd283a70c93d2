"""Random networks of finite width, exactly, without their weight matrices.

Given z^(l) of a few inputs, the units of z^(l+1) are independent Gaussians whose covariance over the inputs is
C_b + C_W mean_j sigma(z_j) sigma(z_j)^T: drawing them costs O(n) for each layer where matrices cost O(n^2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rk_criticality.activations import FUNCTIONS, Name, slope

_CHUNK = 2_000_000
"""Numbers that are held at once."""


@dataclass(frozen=True)
class Network:
    """Networks of one kind.

    Attributes:
        name: The activation.
        c_b: Variance of the biases.
        c_w: Variance of the weights times fan-in.
        width: Units of each layer.
        depth: Layers.
        gamma: Weight of a skip around each layer but the first.
    """

    name: Name
    c_b: float
    c_w: float
    width: int
    depth: int
    gamma: float = 0.0


def units(net: Network, gram: Tensor, inits: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the pre-activations of each layer without weights, (inits, inputs, width), after their covariance.

    The covariance, (inits, inputs, inputs), is that of a unit over the draws of its own weights, without a skip.

    Args:
        net: The networks.
        gram: The covariance of the first layer, (inputs, inputs).
        inits: Networks.
        generator: What is drawn from.
    """
    covariance = gram.expand(inits, *gram.shape)
    z = torch.zeros(inits, len(gram), net.width, dtype=torch.float64)
    for layer in range(net.depth):
        if layer:
            a = FUNCTIONS[net.name](z)
            covariance = net.c_b + net.c_w / net.width * a @ a.mT
        noise = torch.randn(z.shape, generator=generator, dtype=torch.float64)
        z = torch.linalg.cholesky(covariance) @ noise + net.gamma * z
        yield covariance, z


@dataclass(frozen=True)
class Measured:
    """Means over networks at one layer.

    Attributes:
        mean: E z^2.
        v: Cov(z_i^2, z_j^2) / E[z^2]^2, i != j.
        chi_par: Growth of a change of the norm into this layer.
        chi_perp: Growth of a gradient out of it.
        cosine: E[z_a z_b] / E[z^2] of the two inputs.
    """

    mean: float
    v: float
    chi_par: float
    chi_perp: float
    cosine: float


def measure(net: Network, k: float, cosine: float, inits: int, generator: torch.Generator) -> list[Measured]:
    """Returns each layer's means over `inits` networks, for two inputs of kernel `k` and this cosine."""
    gram = k * torch.tensor([[1.0, cosine], [cosine, 1.0]], dtype=torch.float64)
    size = max(1, _CHUNK // (2 * net.width))
    sums: list[list[Tensor]] = [[] for _ in range(net.depth)]
    for start in range(0, inits, size):
        piece = min(size, inits - start)
        before = torch.zeros(piece, 2, net.width, dtype=torch.float64)
        for found, (covariance, z) in zip(sums, units(net, gram, piece, generator), strict=True):
            # Means over this layer's own weights, given the layer before: what they vary by says nothing
            q = covariance[:, 0, :1] + net.gamma**2 * before[:, 0].square()  # (networks, width)
            product = covariance[:, 0, 1] + net.gamma**2 * (before[:, 0] * before[:, 1]).mean(-1)
            found.append(torch.stack([q.sum(-1), q.square().sum(-1), product, *_growth(net, before[:, 0])]))
            before = z
    return [_means(torch.cat(found, 1), net.width) for found in sums]


def _growth(net: Network, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what a change of the norm of `z` adds to the next kernel, the kernel of `z`, and C_W mean sigma'^2."""
    rate, value, k = slope(net.name, z), FUNCTIONS[net.name](z), z.square().mean(-1)
    par = net.c_w * (value * rate * z).mean(-1) + net.gamma**2 * k
    return par, k, net.c_w * rate.square().mean(-1) + net.gamma**2


def _means(found: Tensor, n: int) -> Measured:
    total, squares, product, par, before, perp = found
    mean = total.mean() / n
    # over pairs i != j: the square of a sum less the sum of the squares
    off = ((total - n * mean).square() - (squares - 2 * mean * total + n * mean**2)).mean() / (n * (n - 1))
    first = not before.any()
    return Measured(
        mean=float(mean),
        v=float(off / mean**2),
        chi_par=1.0 if first else float(par.mean() / before.mean()),
        chi_perp=1.0 if first else float(perp.mean()),
        cosine=float(product.mean() / mean),
    )


def tangent_kernels(net: Network, k: float, inits: int, generator: torch.Generator) -> list[float]:
    """Returns the mean tangent kernel at each layer, from the gradients of real matrices (lambda_b = lambda_W = 1).

    Biases count 1, weights 1 / fan-in: theta = sum_l |dz/db_l|^2 (1 + |sigma(z_l-1)|^2 / n), of one unit of the layer.
    """
    sums = torch.zeros(net.depth, dtype=torch.float64)
    piece = max(1, _CHUNK // (net.width**2 * net.depth))
    for start in range(0, inits, piece):
        size = min(piece, inits - start)
        zs, weights = with_weights(net, k, size, generator)
        slopes = [slope(net.name, z) for z in zs]
        inside = [torch.full((size,), k, dtype=torch.float64)]  # |x|^2 / features is k where C_W = 1, C_b = 0
        inside += [FUNCTIONS[net.name](z).square().mean(-1) for z in zs[:-1]]
        for layer in range(net.depth):
            delta = torch.zeros_like(zs[0])
            delta[:, 0] = 1.0
            theta = 1 + inside[layer]
            for below in range(layer - 1, -1, -1):
                delta = (weights[below].mT @ delta.unsqueeze(-1)).squeeze(-1) * slopes[below] + net.gamma * delta
                theta = theta + delta.square().sum(-1) * (1 + inside[below])
            sums[layer] += theta.sum()
    return (sums / inits).tolist()


def with_weights(
    net: Network, k: float, inits: int, generator: torch.Generator
) -> tuple[list[Tensor], Sequence[Tensor]]:
    """Returns the pre-activations, (inits, width) per layer, and the matrices between them: the plain way."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    zs, weights = [k**0.5 * draw(inits, net.width)], []
    for _ in range(net.depth - 1):
        weight = (net.c_w / net.width) ** 0.5 * draw(inits, net.width, net.width)
        bias = net.c_b**0.5 * draw(inits, net.width)
        a = FUNCTIONS[net.name](zs[-1]).unsqueeze(-1)
        zs.append((weight @ a).squeeze(-1) + bias + net.gamma * zs[-1])
        weights.append(weight)
    return zs, weights
