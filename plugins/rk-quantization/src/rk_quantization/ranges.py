"""Observers: what range activations have, over any number of batches, in constant memory."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rk_quantization.scheme import Scheme

Observer = Literal["min-max", "moving-average", "percentile", "mse", "entropy"]
BINS = 2048
MOMENTUM = 0.01
"""Share of a new batch in the moving average."""
CANDIDATES = 100


class Histogram:
    """Counts of values in equal bins over [low, high]; the range grows by whole factors, so counts are never split.

    Attributes:
        counts: float64 of ``(bins,)``.
        low: Lower edge of the first bin.
        width: Of a bin.
        least: The smallest value so far.
        most: The largest.
        average: Moving average of each batch's smallest and largest value, for `moving-average`.
    """

    def __init__(self, bins: int = BINS) -> None:
        self.counts = torch.zeros(bins, dtype=torch.float64)
        self.low = self.width = 0.0
        self.least, self.most = float("inf"), float("-inf")
        self.average: tuple[float, float] | None = None

    def add(self, values: Tensor) -> None:
        """Counts values of any shape."""
        flat = values.detach().reshape(-1).double().cpu()
        if not flat.numel():
            return
        least, most = float(flat.min()), float(flat.max())
        if self.average is None:
            self.average = (least, most)
        else:
            a, b = self.average
            self.average = (a + MOMENTUM * (least - a), b + MOMENTUM * (most - b))
        self.least, self.most = min(self.least, least), max(self.most, most)
        self._grow()
        places = ((flat - self.low) / self.width).long().clamp(0, len(self.counts) - 1)
        self.counts += torch.bincount(places, minlength=len(self.counts))

    def _grow(self) -> None:
        """Makes room for the smallest and the largest value: bins are merged two by two, then shifted."""
        bins = len(self.counts)
        if not self.width:
            self.low = self.least
            self.width = max((self.most - self.least) / bins, 1e-12, abs(self.least) * 1e-12)
            return
        while self.most > self.low + bins * self.width or self.least < self.low:
            merged = self.counts.view(-1, 2).sum(1)
            if self.least < self.low:  # the old bins go to the upper half
                self.counts = torch.cat([torch.zeros_like(merged), merged])
                self.low -= bins * self.width
            else:
                self.counts = torch.cat([merged, torch.zeros_like(merged)])
            self.width *= 2

    @property
    def centres(self) -> Tensor:
        """The middle of each bin, float64."""
        return self.low + (torch.arange(len(self.counts), dtype=torch.float64) + 0.5) * self.width

    def quantile(self, share: float) -> float:
        """Returns the upper edge of the bin that holds this share of the counts."""
        place = int(torch.searchsorted(self.counts.cumsum(0), share * float(self.counts.sum())))
        return self.low + (min(place, len(self.counts) - 1) + 1) * self.width

    def range(self, observer: Observer, scheme: Scheme, percentile: float = 99.99) -> tuple[float, float]:
        """Returns the range to be quantised.

        Args:
            observer: How it is chosen. `percentile` cuts both ends, `mse` takes the clipping of both ends with the
                lowest squared error, `entropy` the one with the lowest Kullback-Leibler divergence.
            scheme: The levels that the range will have.
            percentile: Share of the values within the range, in hundredths.

        Raises:
            ValueError: When nothing has been counted.
        """
        if self.average is None:
            raise ValueError("no value has been observed")
        if observer == "moving-average":
            return self.average
        if observer == "min-max" or self.most == self.least:
            return self.least, self.most
        if observer == "percentile":
            share = percentile / 100
            low = self.quantile(1 - share) - self.width
            return max(self.least, low), min(self.most, self.quantile(share))
        found = (self.least, self.most)
        best = float("inf")
        for i in range(CANDIDATES, 4, -1):
            low, high = self.least * i / CANDIDATES, self.most * i / CANDIDATES
            if self.least > 0 or self.most < 0:  # the range contains 0 anyway
                low, high = (self.least, high) if self.least > 0 else (low, self.most)
            cost = self.squared_error(low, high, scheme) if observer == "mse" else self.divergence(low, high, scheme)
            if cost < best - 1e-15:
                best, found = cost, (low, high)
        return found

    def _snapped(self, low: float, high: float, scheme: Scheme) -> Tensor:
        from rk_quantization.grids import uniform

        ends = torch.tensor([[low], [high]], dtype=torch.float64)
        return uniform(ends[:1], ends[1:], scheme).encode(self.centres[None])[0]

    def squared_error(self, low: float, high: float, scheme: Scheme) -> float:
        """Returns the mean squared error of quantising the counted values over [low, high]."""
        from rk_quantization.grids import uniform

        ends = torch.tensor([[low], [high]], dtype=torch.float64)
        error = uniform(ends[:1], ends[1:], scheme).snap(self.centres[None])[0] - self.centres
        return float((error.square() * self.counts).sum() / self.counts.sum())

    def divergence(self, low: float, high: float, scheme: Scheme) -> float:
        """Returns KL(P || Q): P are the counts with what is clipped added to the outermost codes' bins.

        Q gives each non-empty bin of a code the same share of the unclipped counts of that code, as TensorRT's
        calibration does. A bin that only P has costs by a floor of 1e-9.
        """
        codes = self._snapped(low, high, scheme).long()
        levels = 2**scheme.bits
        codes = codes - codes.min()
        kept = (self.centres >= low) & (self.centres <= high)
        p = torch.where(kept, self.counts, torch.zeros_like(self.counts))
        places = kept.nonzero()[:, 0]
        if not len(places):
            return float("inf")
        raw = p.clone()
        p[places[0]] += self.counts[: places[0]].sum()
        p[places[-1]] += self.counts[places[-1] + 1 :].sum()
        held = (raw > 0).double()
        mass = torch.zeros(levels, dtype=torch.float64).index_add_(0, codes, raw)
        number = torch.zeros(levels, dtype=torch.float64).index_add_(0, codes, held)
        q = (mass / number.clamp(min=1))[codes] * held
        p, q = p / p.sum(), (q / q.sum()).clamp(min=1e-9)
        some = p > 0
        return float((p[some] * (p[some] / q[some]).log()).sum())
