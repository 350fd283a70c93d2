"""The timescale of a signal: how fast its autocorrelation decays, by a fit of one or two exponentials."""

# r trials, t time, n neurons, l lags

from __future__ import annotations

import warnings

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import OptimizeWarning, curve_fit
from torch import Tensor

LONGEST = 100.0
"""Upper bound of a fitted timescale, in steps."""
LEAST = 0.05
"""Share of the autocorrelation below which a second exponential fits the noise of the estimate, and does not count."""


def autocorrelation(signals: Float[Tensor, "r t n"], lags: int) -> Float[Tensor, "l n"]:
    """Returns the autocorrelation at lags 0 to `lags`, averaged over trials and divided by that at lag 0.

    Each trial's mean is removed, and a lag's sum is divided by the number of its terms. A constant signal gives zeros.
    """
    t = signals.shape[1]
    centred = signals.double() - signals.double().mean(1, keepdim=True)
    spectrum = torch.fft.rfft(centred, 2 * t, dim=1)
    sums = torch.fft.irfft(spectrum * spectrum.conj(), 2 * t, dim=1)[:, : lags + 1]
    mean = (sums / (t - torch.arange(lags + 1.0, dtype=torch.float64)).view(1, -1, 1)).mean(0)
    return torch.where(mean[0] > 1e-12, mean / mean[0].clamp(min=1e-12), 0.0)


def timescale(values: Float[np.ndarray, "l"]) -> float:
    """Returns the timescale, in steps, of an autocorrelation at lags 0, 1, 2, ...; NaN for that of a constant.

    One exponential and the sum of two are fitted, with timescales up to 100. The fit with the smaller AIC = 2 k + n
    ln(RSS / n) is chosen, of n lags and k parameters; of two timescales, the slower one counts, if it has a share of
    more than `LEAST`.
    """
    if not values[0] > 0:
        return float("nan")
    lags = np.arange(len(values), dtype=float)
    fits = []
    for model, begin in ((_single, (1.0, 2.0)), (_double, (0.5, 1.0, 0.5, 10.0))):
        upper = [np.inf if i % 2 == 0 else LONGEST for i in range(len(begin))]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)  # of the covariance, which is not used
                found, _ = curve_fit(model, lags, values, begin, bounds=([0.0, 1e-3] * (len(begin) // 2), upper))
        except RuntimeError:  # no fit within the limit of evaluations
            continue
        error = max(float(np.mean((model(lags, *found) - values) ** 2)), 1e-300)
        fits.append((2 * len(begin) + len(lags) * np.log(error), float(_slower(found))))
    return min(fits)[1] if fits else float("nan")


def _single(lag: np.ndarray, a: float, tau: float) -> np.ndarray:
    return a * np.exp(-lag / tau)


def _double(lag: np.ndarray, a: float, tau: float, b: float, other: float) -> np.ndarray:
    return _single(lag, a, tau) + _single(lag, b, other)


def _slower(found: np.ndarray) -> float:
    """Returns the largest timescale among those with more than `LEAST` of the autocorrelation."""
    shares, taus = found[0::2], found[1::2]
    return float(taus[shares > LEAST * shares.sum()].max())
