"""Levels for the rows of a matrix: uniform ones with scale and zero point, or a list of levels per row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rk_quantization.scheme import Scheme

RATIOS = 100
"""Clipping points that are tried for the lowest squared error."""
ROUNDS = 50
"""Rounds of k-means at most."""


@dataclass
class UniformGrid:
    """Uniform levels: ``(code - zero) * scale``; the convention, and the rounding half to even, of ONNX.

    Attributes:
        scale: (rows, 1), positive.
        zero: (rows, 1), int32: the code of 0.
        low: The lowest code.
        high: The highest code.
    """

    scale: Tensor
    zero: Tensor
    low: int
    high: int

    def encode(self, rows: Tensor) -> Tensor:
        """Returns codes of (rows, columns), int16 (survey, Eq. 2)."""
        return (torch.round(rows / self.scale) + self.zero).clamp(self.low, self.high).to(torch.int16)

    def decode(self, codes: Tensor) -> Tensor:
        """Returns the values of codes (survey, Eq. 2 and 3)."""
        return (codes - self.zero).to(self.scale.dtype) * self.scale

    def snap(self, rows: Tensor) -> Tensor:
        """Returns the nearest level of each entry: ``decode(encode(rows))``, without whole numbers in between."""
        low, high = self.low - self.zero, self.high - self.zero
        scaled = (rows / self.scale).round_()
        return torch.minimum(torch.maximum(scaled, low.to(scaled.dtype)), high.to(scaled.dtype)).mul_(self.scale)

    def inside(self, rows: Tensor) -> Tensor:
        """Returns where the straight-through estimator passes the gradient: where nothing is clipped."""
        scaled = rows / self.scale + self.zero
        return (scaled >= self.low) & (scaled <= self.high)


@dataclass
class LevelGrid:
    """Levels that are listed, in ascending order.

    Attributes:
        levels: (rows, levels).
        bounds: (rows, levels - 1): from a bound on, the upper of two levels is taken.
        window: (rows, 1): how far the straight-through estimator passes the gradient; infinite: everywhere.
    """

    levels: Tensor
    bounds: Tensor
    window: Tensor

    def encode(self, rows: Tensor) -> Tensor:
        """Returns the number of the level of each entry, int16."""
        return torch.searchsorted(self.bounds.contiguous(), rows.contiguous(), right=True).to(torch.int16)

    def decode(self, codes: Tensor) -> Tensor:
        """Returns the values of codes."""
        return self.levels.gather(1, codes.long())

    def snap(self, rows: Tensor) -> Tensor:
        """Returns the level of each entry."""
        return self.decode(self.encode(rows))

    def inside(self, rows: Tensor) -> Tensor:
        """Returns where the straight-through estimator passes the gradient."""
        return rows.abs() <= self.window


Grid = UniformGrid | LevelGrid


def fit(rows: Tensor, scheme: Scheme) -> Grid:
    """Returns the levels of a scheme for a matrix.

    Args:
        rows: (rows, columns), floating point.
        scheme: Bits, levels, and how the range is found.
    """
    match scheme.levels:
        case "binary":
            return binary(rows)
        case "ternary":
            return ternary(rows)
        case "codebook":
            return codebook(rows, 2**scheme.bits)
        case "power-of-two":
            return powers_of_two(rows, scheme.bits)
    low, high = clipped_range(rows, scheme)
    return uniform(low, high, scheme)


def uniform(low: Tensor, high: Tensor, scheme: Scheme) -> UniformGrid:
    """Returns uniform levels over the range [low, high] of each row, which is widened to contain 0.

    Survey, Eq. 2 and 3: S = (beta - alpha) / (2^b - 1). With `narrow`, S = max|r| / (2^(b-1) - 1) (restricted range);
    with `symmetric`, S = 2 max|r| / (2^b - 1) (full range).

    Args:
        low: (rows, 1).
        high: (rows, 1).
        scheme: Of uniform levels.
    """
    first, last = scheme.limits
    low, high = low.clamp(max=0), high.clamp(min=0)
    largest = torch.maximum(-low, high)
    if scheme.levels == "affine":
        scale = (high - low) / (last - first)
    elif scheme.levels == "narrow":
        scale = largest / last
    else:
        scale = 2 * largest / (2**scheme.bits - 1)
    scale = torch.where(scale > torch.finfo(scale.dtype).tiny, scale, torch.ones_like(scale))
    if scheme.levels == "affine":
        zero = (first - torch.round(low / scale)).clamp(first, last).to(torch.int32)
    else:
        zero = torch.zeros_like(scale, dtype=torch.int32)
    return UniformGrid(scale, zero, first, last)


def clipped_range(rows: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """Returns the range of each row, (rows, 1) each, by `scheme.clip`."""
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    if scheme.clip == "min-max":
        return low, high
    if scheme.clip == "percentile":
        share = scheme.percentile / 100
        if scheme.levels == "affine":
            return quantile(rows, 1 - share), quantile(rows, share)
        largest = quantile(rows.abs(), share)
        return -largest, largest
    best = torch.full_like(low, torch.inf)
    found_low, found_high = low, high
    for i in range(RATIOS, 0, -1):
        ratio = i / RATIOS
        error = (uniform(low * ratio, high * ratio, scheme).snap(rows) - rows).square().mean(1, keepdim=True)
        better = error < best
        best = torch.where(better, error, best)
        found_low = torch.where(better, low * ratio, found_low)
        found_high = torch.where(better, high * ratio, found_high)
    return found_low, found_high


def quantile(rows: Tensor, share: float) -> Tensor:
    """Returns the linearly interpolated quantile of each row, (rows, 1); of any number of columns."""
    ordered = rows.sort(1).values
    place = share * (rows.shape[1] - 1)
    below = int(place)
    above = min(below + 1, rows.shape[1] - 1)
    return torch.lerp(ordered[:, below : below + 1], ordered[:, above : above + 1], place - below)


def binary(rows: Tensor) -> LevelGrid:
    """Returns +-a with a = mean|W| of each row (XNOR-Net, Eq. 6); the gradient passes where |W| <= 1."""
    a = rows.abs().mean(1, keepdim=True)
    return LevelGrid(torch.cat([-a, a], 1), torch.zeros_like(a), torch.ones_like(a))


def ternary(rows: Tensor) -> LevelGrid:
    """Returns -a, 0, a with Delta = 0.7 mean|W| and a the mean of |W| above Delta (TWN, Eq. 4 and 6)."""
    size = rows.abs()
    delta = 0.7 * size.mean(1, keepdim=True)
    above = size > delta
    a = (size * above).sum(1, keepdim=True) / above.sum(1, keepdim=True).clamp(min=1)
    upper = torch.nextafter(delta, torch.full_like(delta, torch.inf))
    levels = torch.cat([-a, torch.zeros_like(a), a], 1)
    return LevelGrid(levels, torch.cat([-delta, upper], 1), torch.full_like(a, torch.inf))


def powers_of_two(rows: Tensor, bits: int) -> LevelGrid:
    """Returns 0 and +-2^e for 2^(bits-1) - 1 exponents, from floor(log2(4/3 max|W|)) of each row downwards.

    INQ, Eq. 3 and 4. A product with such a weight is a shift. The nearest level is taken.
    """
    largest = rows.abs().amax(1, keepdim=True)
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    top = torch.floor(torch.log2(largest * 4 / 3))
    exponents = torch.arange(2 ** (bits - 1) - 1, device=rows.device, dtype=rows.dtype)
    positive = torch.exp2(top - exponents)  # descending
    return _nearest(torch.cat([-positive, torch.zeros_like(top), positive.flip(1)], 1))


def codebook(rows: Tensor, size: int) -> LevelGrid:
    """Returns the centres of k-means of each row: sum of (W - c)^2 has a local minimum (Deep Compression, Eq. 2).

    Args:
        rows: (rows, columns).
        size: Centres. The first ones are quantiles.
    """
    ordered = rows.sort(1).values
    places = ((torch.arange(size, device=rows.device) + 0.5) / size * rows.shape[1]).long()
    centres = ordered[:, places.clamp(max=rows.shape[1] - 1)]
    sums = torch.nn.functional.pad(ordered.double().cumsum(1), (1, 0))
    for _ in range(ROUNDS):
        ends = torch.searchsorted(ordered, (centres[:, 1:] + centres[:, :-1]) / 2)
        ends = torch.nn.functional.pad(ends, (1, 1))
        ends[:, -1] = rows.shape[1]
        counts = ends.diff(dim=1)
        means = sums.gather(1, ends).diff(dim=1) / counts.clamp(min=1)
        moved = torch.where(counts > 0, means.to(rows.dtype), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return _nearest(centres.sort(1).values)


def _nearest(levels: Tensor) -> LevelGrid:
    middle = (levels[:, 1:] + levels[:, :-1]) / 2
    return LevelGrid(levels, middle, torch.full_like(levels[:, :1], torch.inf))
