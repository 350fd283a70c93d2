"""Power laws through measurements: the exponent of a learning curve, and how well it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PowerLaw:
    """value = scale * n ** -exponent.

    Attributes:
        exponent: Of the fit through the means.
        scale: The value at n = 1.
        low: Lower end of the interval of the exponent.
        high: Upper end.
    """

    exponent: float
    scale: float
    low: float
    high: float

    def __call__(self, n: float) -> float:
        """Returns the value at `n`."""
        return self.scale * n**-self.exponent


def fit_power_law(
    values: Mapping[float, Sequence[float]], *, level: float = 0.9, draws: int = 2000, seed: int = 0
) -> PowerLaw:
    """Returns the power law through repeated measurements, by least squares between logarithms of n and of the means.

    The interval is that of a bootstrap (Efron 1979): at each n, as many of its measurements are drawn again, with
    repetitions. With one measurement for each n it is the interval of the regression's slope, by Student's t.

    Args:
        values: n -> measurements, all > 0; two n at least.
        level: Probability of the interval.
        draws: Of the bootstrap.
        seed: Of the draws.

    Raises:
        ValueError: When there are fewer than two n, or a measurement is not a number above 0.

    Examples:
        >>> round(fit_power_law({10: [1.0, 1.0], 100: [0.1, 0.1], 1000: [0.01, 0.01]}).exponent, 6)
        1.0
    """
    if len(values) < 2:
        raise ValueError(f"a power law needs two sizes at least, got {len(values)}")
    if any(not np.isfinite(v) or v <= 0 for many in values.values() for v in many):
        raise ValueError("a power law needs values that are finite and above 0")
    x = np.log(np.array(sorted(values), dtype=float))
    measured = [np.array(values[n], dtype=float) for n in sorted(values)]
    slope, height = np.polyfit(x, np.log([m.mean() for m in measured]), 1)
    tails = [(1 - level) / 2, (1 + level) / 2]
    if max(map(len, measured)) > 1:
        random = np.random.default_rng(seed)
        means = np.stack([random.choice(m, (draws, len(m))).mean(1) for m in measured], axis=1)
        low, high = np.quantile(-np.polyfit(x, np.log(means).T, 1)[0], tails)
    else:
        low, high = _of_the_slope(x, np.log([m[0] for m in measured]), float(slope), float(height), level)
    return PowerLaw(-float(slope), float(np.exp(height)), float(low), float(high))


def _of_the_slope(x: np.ndarray, y: np.ndarray, slope: float, height: float, level: float) -> tuple[float, float]:
    from scipy import stats

    free = len(x) - 2
    if not free:
        return float("-inf"), float("inf")
    spread = float(np.sqrt(((y - slope * x - height) ** 2).sum() / free / ((x - x.mean()) ** 2).sum()))
    reach = float(stats.t.ppf((1 + level) / 2, free)) * spread
    return -slope - reach, -slope + reach
