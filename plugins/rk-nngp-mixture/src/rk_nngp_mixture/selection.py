"""Hyperparameters off a grid, by their evidence: as in the paper, except for one factorisation per kernel."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from rk_kernels.mlp_kernel import MLPKernel
from rk_kernels.predictive import PredictiveOutputs
from rk_kernels.scale import FixedScale, ScalePrior
from rk_kernels.spectrum import Spectrum
from torch import Tensor

from rk_nngp_mixture.burr import Burr
from rk_nngp_mixture.inverse_gamma import InverseGamma

Method = Literal["gp", "inverse-gamma", "burr"]
METHODS: tuple[Method, ...] = ("gp", "inverse-gamma", "burr")
SHAPES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Both parameters of both priors are among these."""


@dataclass(frozen=True)
class Grid:
    """The grid of hyperparameters.

    Attributes:
        w_stds: Of the kernel.
        b_stds: Of the kernel.
        noises: Relative to the scale.
        depth: Hidden layers.
    """

    w_stds: tuple[float, ...] = (1.0, 1.4, 2.0, 2.8)
    b_stds: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    noises: tuple[float, ...] = tuple(10 ** (k / 2) for k in range(-12, 3))
    depth: int = 4


@dataclass
class Chosen:
    """The best place of the grid for one method."""

    evidence: float
    kernel: MLPKernel
    spectrum: Spectrum
    noise: float
    scale: ScalePrior


def priors(method: Method) -> list[ScalePrior]:
    """Returns the priors that a method chooses from."""
    if method == "gp":
        return [FixedScale()]
    make = InverseGamma if method == "inverse-gamma" else Burr
    return [make(x, y, learned=False) for x, y in itertools.product(SHAPES, SHAPES)]


@torch.no_grad()
def select(inputs: Tensor, targets: Tensor, grid: Grid, methods: Sequence[Method] = METHODS) -> dict[Method, Chosen]:
    """Returns for each method the place of highest evidence; all of them see the same kernels.

    Args:
        inputs: (n, features).
        targets: (n,), standardised.
        grid: Where it is looked for.
        methods: Which ones.
    """
    best: dict[Method, Chosen] = {}
    noises = torch.tensor(grid.noises, dtype=torch.float64)
    for w_std, b_std in itertools.product(grid.w_stds, grid.b_stds):
        kernel = MLPKernel(grid.depth, w_std=w_std, b_std=b_std, learned=False)
        spectrum = Spectrum(kernel(inputs), targets)
        quadratic, determinant = spectrum.quadratic(noises), spectrum.log_determinant(noises)
        for method in methods:
            for scale in priors(method):
                evidences = scale(quadratic, spectrum.count) - determinant / 2
                place = int(evidences.argmax())
                if method not in best or float(evidences[place]) > best[method].evidence:
                    evidence = float(evidences[place])
                    best[method] = Chosen(evidence, kernel, spectrum, grid.noises[place], scale)
    return best


@torch.no_grad()
def answer(chosen: Chosen, train: Tensor, test: Tensor, mean: Tensor, deviation: Tensor) -> PredictiveOutputs:
    """Returns the predictive distribution at the test inputs, in the unit of the targets.

    Args:
        chosen: What was selected.
        train: The training inputs, (n, features).
        test: (m, features).
        mean: Of the training targets.
        deviation: Of the training targets.
    """
    kernel, spectrum = chosen.kernel, chosen.spectrum
    values, variance = spectrum.answer(kernel(test, train), kernel.diagonal(test), chosen.noise)
    scales = chosen.scale.posterior(spectrum.quadratic(torch.tensor(chosen.noise).double()), spectrum.count)
    variance = variance.clamp(min=torch.finfo(variance.dtype).tiny)
    return {
        "values": (mean + deviation * values).unsqueeze(1),
        "scales": deviation * (variance[:, None, None] * scales.variances).sqrt(),
        "log_weights": scales.log_weights.expand(len(test), -1),
        "degrees": scales.degrees.expand(len(test), -1),
    }
