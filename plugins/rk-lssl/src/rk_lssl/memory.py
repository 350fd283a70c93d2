"""How well the state of a linear system remembers its input of so many steps ago: a probe in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rk_lssl.ops import krylov


def smooth_noise(rows: int, length: int, width: float, generator: torch.Generator) -> Float[Tensor, "rows length"]:
    """Returns white noise smoothed by a Gaussian, with variance 1.

    Args:
        rows: Signals.
        length: Steps of each.
        width: Standard deviation of the Gaussian in steps.
        generator: Draws the noise.
    """
    reach = int(4 * width)
    weight = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / width) ** 2)
    weight = weight / weight.square().sum().sqrt()
    noise = torch.randn(rows, 1, length + 2 * reach, generator=generator, dtype=torch.float64)
    return torch.nn.functional.conv1d(noise, weight.view(1, 1, -1)).squeeze(1)


def last_states(
    a: Float[Tensor, "n n"], b: Float[Tensor, "n"], signals: Float[Tensor, "rows length"]
) -> Float[Tensor, "rows n"]:
    """Returns the state of ``x_t = A x_{t-1} + B u_t`` after each signal."""
    return signals.flip(1) @ krylov(signals.shape[1], a, b).mT


def explained(
    states: Float[Tensor, "rows n"],
    signals: Float[Tensor, "rows length"],
    delays: Sequence[int],
    train: int,
    ridge: float = 1e-6,
) -> list[float]:
    """Returns for each delay the share of variance of ``u_{L-1-d}`` that a linear readout of the state explains (R^2).

    Args:
        states: The last state of each signal.
        signals: The signals.
        delays: Steps before the last.
        train: So many rows fit the readout, by ridge regression; the others measure it.
        ridge: Added to the diagonal, as a share of its mean.
    """
    targets = signals[:, [signals.shape[1] - 1 - d for d in delays]]
    x, y = states[:train], targets[:train]
    gram = x.mT @ x
    gram.diagonal().add_(ridge * gram.diagonal().mean())
    readout = torch.linalg.solve(gram, x.mT @ y)
    rest = (states[train:] @ readout - targets[train:]).square().sum(0)
    spread = (targets[train:] - targets[train:].mean(0)).square().sum(0)
    return (1 - rest / spread).tolist()
