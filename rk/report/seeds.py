"""What a few seeds can show: the interval of a mean, and of the difference of two methods.

Both are Student's: with three seeds a bootstrap has ten different means to draw from, and its interval is too narrow.
Nothing here needs scipy; the tests compare it with scipy's.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import fmean, stdev, variance

from rk.record import record

LEVEL = 0.95
"""Confidence of the intervals."""
SIGNIFICANT = 0.05
"""The p value that a test over many seeds must not exceed."""
MAX_EXACT = 16
"""Pairs whose 2^n sign assignments are all taken; beyond, `DRAWS` random ones."""
DRAWS = 65536


@record
class Interval:
    """The interval of a mean at `LEVEL`."""

    low: float
    high: float

    def __str__(self) -> str:
        low, high = f"{self.low:.4g}", f"{self.high:.4g}"
        return "no spread" if low == high else f"{low} to {high}"


@record
class Difference:
    """How much better one method is than another; positive is better.

    Attributes:
        seeds: How many seeds of each were compared.
        mean: The mean difference.
        interval: The interval of the mean difference.
        p: One-sided p value of the sign-flip test; None where the seeds are not the same.
    """

    seeds: int
    mean: float
    interval: Interval
    p: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the method is better: the interval is above 0, and the test agrees as far as so few seeds can.

        With n seeds p is at least 2^-n. Below five seeds that is above 0.05: then each seed must agree, which gives it.
        """
        tested = self.p is None or self.p <= max(SIGNIFICANT, least_p(self.seeds))
        return self.interval.low > 0 and tested

    @property
    def reversed(self) -> bool:
        """Whether the method is worse: the interval is below 0."""
        return self.interval.high < 0

    @property
    def is_noise(self) -> bool:
        """Whether the interval includes 0."""
        return not self.interval.low > 0 and not self.interval.high < 0

    def __str__(self) -> str:
        text = f"{self.mean:+.4g} ({self.interval})"
        return text if self.p is None else f"{text}, p {self.p:.3g}"


def too_few(seeds: int) -> str:
    """Returns what so few seeds cannot show; "" where they can."""
    least = least_p(seeds)
    if least <= SIGNIFICANT:
        return ""
    return f"{seeds} seeds cannot show p < {SIGNIFICANT:g}: the least p of a sign-flip test over them is {least:g}"


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Returns Student's interval of the mean, mean ± t s / sqrt(n); None for fewer than two values.

    Raises:
        ValueError: When a value is not finite.
    """
    _finite(values)
    if len(values) < 2:
        return None
    return _around(fmean(values), stdev(values) / math.sqrt(len(values)), len(values) - 1)


def paired(
    own: Mapping[int, float | None], other: Mapping[int, float | None], more: bool, times: float = 1.0
) -> Difference | None:
    """Returns the difference of two methods over the seeds that both have; None with fewer than two such seeds.

    Args:
        own: Seed -> value; seeds without a finite number are left out.
        other: The same of the other method.
        more: Whether more is better.
        times: The other method's values are multiplied by it.
    """
    sign = 1 if more else -1
    ours, theirs = _numbers(own), _numbers(other)
    found = [sign * (ours[seed] - times * theirs[seed]) for seed in ours if seed in theirs]
    interval = mean_interval(found)
    if interval is None:
        return None
    return Difference(len(found), fmean(found), interval, sign_flip_p(found))


def unpaired(own: Sequence[float], other: Sequence[float], more: bool) -> Difference | None:
    """Returns the difference of two methods with seeds of their own, by Welch's interval; None with a single seed.

    The degrees of freedom of Welch and Satterthwaite are rounded down.
    """
    _finite([*own, *other])
    if len(own) < 2 or len(other) < 2:
        return None
    a, b = variance(own) / len(own), variance(other) / len(other)
    spread = a**2 / (len(own) - 1) + b**2 / (len(other) - 1)
    freedom = math.floor((a + b) ** 2 / spread) if spread else len(own) + len(other) - 2
    mean = (fmean(own) - fmean(other)) * (1 if more else -1)
    return Difference(min(len(own), len(other)), mean, _around(mean, math.sqrt(a + b), max(1, freedom)))


def least_p(count: int) -> float:
    """Returns the least p that the sign-flip test can give with so many pairs, 2^-n."""
    return 0.5**count


def sign_flip_p(differences: Sequence[float]) -> float:
    """Returns the one-sided p of Fisher's sign-flip test: the share of all signs with as large a sum as was found.

    Under the null hypothesis each difference is as likely to have the other sign. All 2^n signs are taken up to
    `MAX_EXACT` pairs; beyond, `DRAWS` random ones and the one that was found.
    """
    sizes, found = [abs(d) for d in differences], math.fsum(differences)
    least = found - 1e-9 * math.fsum(sizes)  # sums that differ by rounding alone count as the same
    if len(sizes) <= MAX_EXACT:
        signs = itertools.product((1, -1), repeat=len(sizes))
        sums = [math.fsum(s * size for s, size in zip(one, sizes, strict=True)) for one in signs]
        return sum(total >= least for total in sums) / len(sums)
    draw = random.Random(0)
    hits = sum(math.fsum(size * draw.choice((1, -1)) for size in sizes) >= least for _ in range(DRAWS))
    return (hits + 1) / (DRAWS + 1)


@cache
def t_quantile(freedom: int) -> float:
    """Returns the t whose two-sided interval holds `LEVEL` of Student's distribution.

    Found by bisection of the finite sums for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4).
    """
    low, high = 0.0, 1.0
    while _t_share(high, freedom) < LEVEL:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_share(middle, freedom) < LEVEL else (low, middle)
    return high


def _t_share(t: float, freedom: int) -> float:
    """Returns the share of Student's distribution between -t and t."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = sine * (cosine if freedom % 2 else 1.0)
    total = 0.0
    for k in range(freedom % 2 + 2, freedom + 2, 2):  # the terms that this parity has
        total += term
        term *= cosine**2 * (k - 1) / k
    if freedom % 2 == 0:
        return total
    return 2 / math.pi * (angle + (total if freedom > 1 else 0.0))


def _around(mean: float, error: float, freedom: int) -> Interval:
    half = t_quantile(freedom) * error
    return Interval(mean - half, mean + half)


def _numbers(values: Mapping[int, float | None]) -> dict[int, float]:
    return {seed: value for seed, value in values.items() if value is not None and math.isfinite(value)}


def _finite(values: Sequence[float]) -> None:
    if not all(math.isfinite(value) for value in values):
        raise ValueError("the values must be finite")
