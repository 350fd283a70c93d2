"""Layers of infinitely wide networks in the NTK parameterisation, as maps from `Covariance` to `Covariance`.

Weights are N(0, w_std^2 / fan-in) and biases N(0, b_std^2); all are trained at one rate. Widths go to infinity layer by
layer (Lee et al. 2018, arXiv:1711.00165; Jacot et al. 2018, arXiv:1806.07572). Standard deviations may be tensors, and
gradients flow to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rk_kernels.covariance import Covariance
from rk_kernels.duals import Dual

Layer = Callable[[Covariance], Covariance]


@dataclass(frozen=True)
class Dense:
    """A linear layer with biases.

    The general form, with a separate learning rate for each tensor (Roberts, Yaida and Hanin 2022, Eq. 8.63), is
    ntk <- b_rate + w_rate * q + w_std^2 * ntk; by default, b_rate = b_std^2 and w_rate = w_std^2.

    Args:
        w_std: Standard deviation of the weights, times sqrt(fan-in).
        b_std: Standard deviation of the biases.
        w_rate: Rate of the weights in the tangent kernel; None: w_std^2.
        b_rate: Rate of the biases; None: b_std^2.
    """

    w_std: float | Tensor = 1.0
    b_std: float | Tensor = 0.0
    w_rate: float | Tensor | None = None
    b_rate: float | Tensor | None = None

    def __call__(self, x: Covariance) -> Covariance:
        w, b = self.w_std**2, self.b_std**2
        own = self.w_rate is None and self.b_rate is None
        w_rate = w if self.w_rate is None else self.w_rate
        b_rate = b if self.b_rate is None else self.b_rate

        def tangent(q: Tensor, new: Tensor, before: Tensor) -> Tensor:
            # K^(l+1) + w^2 * (what came through the layers before): Jacot et al. 2018, Theorem 1
            return (new if own else w_rate * q + b_rate) + w * before

        nngp, d1 = w * x.nngp + b, w * x.d1 + b
        d2 = d1 if x.d2 is x.d1 else w * x.d2 + b
        ntk, t1 = tangent(x.nngp, nngp, x.ntk), tangent(x.d1, d1, x.t1)
        return replace(x, nngp=nngp, ntk=ntk, d1=d1, d2=d2, t1=t1)


@dataclass(frozen=True)
class Activation:
    """An elementwise nonlinearity, by its dual."""

    dual: Dual

    def __call__(self, x: Covariance) -> Covariance:
        nngp, slope = self.dual.pair(x.q11, x.nngp, x.q22)
        d1, slope1 = self.dual.diagonal(x.d1)
        d2 = d1 if x.d2 is x.d1 else self.dual.diagonal(x.d2)[0]
        return replace(x, nngp=nngp, ntk=x.ntk * slope, d1=d1, d2=d2, t1=x.t1 * slope1)


@dataclass(frozen=True)
class Serial:
    """Layers one after the other."""

    layers: tuple[Layer, ...]

    def __call__(self, x: Covariance) -> Covariance:
        for layer in self.layers:
            x = layer(x)
        return x


def serial(*layers: Layer) -> Serial:
    """Returns the layers one after the other."""
    return Serial(layers)


@dataclass(frozen=True)
class Residual:
    """x + branch(x): of independent weights, both kernels add."""

    branch: Layer

    def __call__(self, x: Covariance) -> Covariance:
        y = self.branch(x)
        d1 = x.d1 + y.d1
        d2 = d1 if x.d2 is x.d1 else x.d2 + y.d2
        return replace(x, nngp=x.nngp + y.nngp, ntk=x.ntk + y.ntk, d1=d1, d2=d2, t1=x.t1 + y.t1)


@dataclass(frozen=True)
class PatchMean:
    """Averages groups of `size` neighbours along the first dimension (patches); None: all of them.

    What a locally connected layer, or the read-out, does to patches whose covariances are those at equal places.
    """

    size: int | None = None

    def __call__(self, x: Covariance) -> Covariance:
        def mean(q: Tensor) -> Tensor:
            return q.mean(0) if self.size is None else q.unflatten(0, (-1, self.size)).mean(1)

        return x.mapped(mean)


@dataclass(frozen=True)
class Convolution:
    """A convolution of stride 1 over images, padded with zeros to keep their size.

    Only covariances at equal positions are kept: exact for networks that end in `Flatten` (Novak et al. 2019,
    arXiv:1810.05148, sec. 3.2). The first two dimensions are rows and columns.

    Args:
        w_std: As in `Dense`; the fan-in counts the whole window, padding too.
        b_std: As in `Dense`.
        size: Side of the window, odd.
    """

    w_std: float | Tensor = 1.0
    b_std: float | Tensor = 0.0
    size: int = 3

    def __call__(self, x: Covariance) -> Covariance:
        return Dense(self.w_std, self.b_std)(x.mapped(lambda q: box_mean(q, self.size)))


def box_mean(q: Tensor, size: int) -> Tensor:
    """Returns means over windows of `size` by `size` in the first two dimensions; beyond the edge there are zeros."""
    for axis in (0, 1):
        n, reach = q.shape[axis], size // 2
        total = q
        for shift in range(1, min(reach, n - 1) + 1):
            zeros = q.new_zeros(*(shift if i == axis else s for i, s in enumerate(q.shape)))
            total = total + torch.cat([q.narrow(axis, shift, n - shift), zeros], axis)
            total = total + torch.cat([zeros, q.narrow(axis, 0, n - shift)], axis)
        q = total / size
    return q


@dataclass(frozen=True)
class Flatten:
    """The image as one vector: the mean over all positions."""

    def __call__(self, x: Covariance) -> Covariance:
        return x.mapped(lambda q: q.mean((0, 1)))
