"""Post-training quantisation of any learner, weight by weight, in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rk import Batch, UserError
from rk.authoring import evaluating
from rk_quantization import reconstruction
from rk_quantization.activations import Inputs, attach, inputs_of
from rk_quantization.equalization import equalize
from rk_quantization.gptq import gptq
from rk_quantization.grids import fit
from rk_quantization.scheme import Scheme
from rk_quantization.settings import Settings
from rk_quantization.weights import quantizable

Batches = Callable[[], Iterator[Batch]]
"""Yields the calibration batches, the same ones each time."""


@dataclass(frozen=True)
class Row:
    """What became of one weight.

    Attributes:
        name: The weight.
        entries: Its numbers.
        bits: Of each.
        sqnr: Signal-to-quantisation-noise ratio, in decibels; infinite where nothing was changed.
        low: Its smallest number before.
        high: Its largest.
        size: Bytes when packed, with scales.
    """

    name: str
    entries: int
    bits: int
    sqnr: float
    low: float
    high: float
    size: int


class PostTraining:
    """Quantises the weights of a learner, and what its layers take.

    Args:
        learner: What is changed. Its names stay; with quantised activations, it gets a child more.
        settings: How.
        bits: Bits of single weights, by name, in place of those of the settings.

    Raises:
        rk.UserError: When patterns match nothing, or groups do not divide a weight.
    """

    def __init__(self, learner: nn.Module, settings: Settings, bits: Mapping[str, int] | None = None) -> None:
        self.learner, self.settings = learner, settings
        self.weights = quantizable(learner, settings.include, settings.exclude)
        names = [*self.weights]
        self.schemes = dict.fromkeys(names, settings.weights)
        if settings.first_last_bits is not None:
            for name in (names[0], names[-1]):
                self.schemes[name] = _with_bits(settings.weights, settings.first_last_bits)
        for name, number in (bits or {}).items():
            self.schemes[name] = _with_bits(settings.weights, number)
        for name, weight in self.weights.items():
            weight.layout(self.schemes[name])
        self.inputs: Inputs | None = None
        if settings.activations is not None:
            self.inputs = attach(learner, self.weights.values(), settings.activations, settings.dynamic, settings.per)

    def prepare(self, batches: Batches, seed: int) -> int:
        """Equalises and calibrates, as the settings say; returns how many pairs of layers were equalised.

        Raises:
            rk.UserError: When there are no batches though they are needed.
        """
        pairs = 0
        if self.settings.needs_data and next(batches(), None) is None:
            raise UserError(f"there are no batches of {self.settings.split} to calibrate on", "split=NAME")
        if self.settings.equalize:
            pairs = equalize(self.learner, list(self.weights.values()), batches, seed)
        if self.inputs is not None and not self.settings.dynamic:
            self.inputs.observe(True)
            run(self.learner, batches(), seed)
            self.inputs.take(self.settings.observer, self.settings.percentile)
        return pairs

    @torch.no_grad()
    def quantize(self, name: str, batches: Batches, seed: int) -> Row:
        """Quantises one weight, in place; returns what became of it."""
        weight, scheme, settings = self.weights[name], self.schemes[name], self.settings
        layout = weight.layout(scheme)
        before = weight.parameter.detach().clone()
        rows = layout.rows(before).float()
        grid = fit(rows, scheme)
        layer = reconstruction.of(weight)
        seen: list[Tensor] = []
        if layer is not None and (settings.rounding != "nearest" or settings.bias_correction):
            with inputs_of({name: weight.module}, lambda _, x: seen.append(x)):
                run(self.learner, batches(), seed)
        if settings.rounding == "nearest" or layer is None or not seen:
            after = layout.weight(grid.snap(rows))
        else:
            if settings.rounding == "gptq":
                codes = gptq(layer, layout, grid, before, seen)
            else:
                codes = reconstruction.adaround(layer, layout, grid, before, seen, settings.rounds, seed)
            after = layout.weight(grid.decode(codes))
        weight.parameter.copy_(after.to(before.dtype))
        if settings.bias_correction and layer is not None and seen:
            reconstruction.correct_bias(layer, before, weight.parameter, seen)
        scales = len(rows) * (8 if scheme.levels == "affine" else 4) if scheme.uniform else 4 * grid_size(scheme, rows)
        return Row(
            name,
            before.numel(),
            scheme.bits,
            sqnr(before, weight.parameter),
            float(before.min()),
            float(before.max()),
            math.ceil(before.numel() * scheme.bits / 8) + scales,
        )

    def all(self, batches: Batches, seed: int) -> list[Row]:
        """Does everything at once."""
        self.prepare(batches, seed)
        return [self.quantize(name, batches, seed) for name in self.weights]


def grid_size(scheme: Scheme, rows: Tensor) -> int:
    """Returns how many levels are stored."""
    return len(rows) * {"binary": 2, "ternary": 3}.get(scheme.levels, 2**scheme.bits)


def _with_bits(scheme: Scheme, bits: int) -> Scheme:
    """Returns the scheme with other bits; levels of their own kind stay where they need their number of bits."""
    return scheme if scheme.levels in ("ternary", "binary") else replace(scheme, bits=bits)


def run(learner: nn.Module, batches: Iterable[Batch], seed: int) -> None:
    """Lets the learner answer, in eval mode and without gradients."""
    with evaluating(learner, seed):
        for batch in batches:
            answer(learner, batch)


def answer(learner: Any, batch: Batch) -> Mapping[str, Any]:
    """Returns the outputs of a learner."""
    outputs: Mapping[str, Any] = learner.predict(batch)
    return outputs


def sqnr(before: Tensor, after: Tensor) -> float:
    """Returns 10 log10 of the squares of `before` over those of the difference, in decibels."""
    before, after = before.detach().double(), after.detach().double()
    noise = float((after - before).square().sum())
    signal = float(before.square().sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def total_bits(rows: Iterable[Row]) -> float:
    """Returns the mean bits of a quantised number, without scales."""
    listed = list(rows)
    return sum(row.entries * row.bits for row in listed) / sum(row.entries for row in listed)
