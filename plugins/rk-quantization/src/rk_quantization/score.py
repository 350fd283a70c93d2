"""The callback `quantized-score`: how a run would do with few bits, measured when it has ended."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import nn

from rk import FitContext, UserError
from rk.authoring import answers, evaluating
from rk.binding import Bound
from rk_quantization.activations import Per
from rk_quantization.mixed import Chosen, Criterion, choose
from rk_quantization.post_training import PostTraining, total_bits
from rk_quantization.ranges import Observer
from rk_quantization.scheme import Clip, Granularity, Levels, Scheme
from rk_quantization.settings import Rounding, Settings


class QuantizedScore:
    """Quantises a copy of the finished learner and measures it on a split: ``run/LABEL-METRIC`` beside the run's own.

    So one training, with its seed, gives the numbers of any kind of post-training quantisation; a recipe may have
    several. The run itself stays as it is. The metrics are those of the data, and the loss.

    Args:
        label: What its numbers are called: ``run/w8a8-accuracy``.
        bits: Bits of a weight; where `criterion` is given, their mean.
        levels: As in the search `quantize`.
        granularity: What shares a scale.
        group_size: Weights of a group.
        clip: How ranges of weights are found.
        activations: Bits of what layers take; null leaves it in floating point.
        observer: How ranges of activations are chosen.
        dynamic: Whether ranges of activations are those of each batch.
        per: What shares a scale of dynamic activations.
        exclude: Regular expressions of names of weights that stay as they are.
        rounding: `nearest`, `adaround` or `gptq`.
        rounds: Steps of AdaRound for each layer.
        bias_correction: Whether biases are moved by the mean error of their layer.
        equalize: Whether neighbouring layers are scaled to the same ranges before.
        criterion: Chooses the bits of each weight, as in the search `mixed-precision`; null: the same bits for all.
        choices: Bits that a weight may have then.
        split: The split that is measured.
        calibration: The split of the calibration batches.
        samples: Calibration batches.

    Examples:
        callbacks: [{name: quantized-score, label: w8a8, activations: 8}]
    """

    def __init__(
        self,
        label: str,
        bits: Annotated[int, Ge(1), Le(8)] = 8,
        levels: Levels = "narrow",
        granularity: Granularity = "channel",
        group_size: Annotated[int, Ge(1)] = 64,
        clip: Clip = "min-max",
        activations: Annotated[int, Ge(2), Le(8)] | None = None,
        observer: Observer = "min-max",
        dynamic: bool = False,
        per: Per = "tensor",
        exclude: tuple[str, ...] = (),
        rounding: Rounding = "nearest",
        rounds: Annotated[int, Ge(1)] = 1000,
        bias_correction: bool = False,
        equalize: bool = False,
        criterion: Criterion | None = None,
        choices: tuple[Annotated[int, Ge(2), Le(8)], ...] = (2, 3, 4, 5, 6, 8),
        split: str = "test",
        calibration: str = "train",
        samples: Annotated[int, Ge(1)] = 8,
    ) -> None:
        if not label or not label.replace("-", "").isalnum():
            raise ValueError(f"label must be letters, digits and hyphens, got {label!r}")
        self.label, self.split = label, split
        self.criterion, self.bits, self.choices = criterion, bits, choices
        self.settings = Settings(
            Scheme(bits, levels, granularity, group_size, clip),
            activations,
            observer,
            dynamic=dynamic,
            per=per,
            exclude=exclude,
            rounding=rounding,
            rounds=rounds,
            bias_correction=bias_correction,
            equalize=equalize,
            split=calibration,
            samples=samples,
        )
        self.lower_is_better = tuple(f"{label}-{name}" for name in ("loss", "drop", "bits"))
        self.found: dict[str, float] = {}

    def fit_end(self, fit: FitContext) -> None:
        """Quantises a copy, and measures it."""
        seed = fit.recipe.fit.seed
        learner = copy.deepcopy(fit.learner)

        def batches() -> Any:
            return fit.batches(self.settings.split, self.settings.samples)

        bits = None
        if self.criterion is not None:
            chosen: Chosen = choose(learner, self.settings, batches, seed, self.criterion, self.bits, self.choices)
            bits = chosen.bits
        rows = PostTraining(learner, self.settings, bits).all(batches, seed)
        measured = _measured(replace(fit, learner=learner), self.split)
        drops = {}
        if "accuracy" in measured and f"{self.split}/accuracy" in fit.metrics:
            drops["drop"] = fit.metrics[f"{self.split}/accuracy"] - measured["accuracy"]
        self.found = {**measured, **drops, "bits": total_bits(rows)}

    def results(self) -> dict[str, float]:
        """Returns each metric of the quantised copy, the accuracy that it lost, and its mean bits."""
        return {f"{self.label}-{name}": value for name, value in self.found.items()}


def _measured(fit: FitContext, split: str) -> dict[str, float]:
    """Returns the loss and the metrics of the data that are functions of fields."""
    sums: dict[str, list[float]] = {}
    metrics = {}
    for name, metric in (getattr(fit.data, "metrics", None) or {}).items():
        made = metric() if isinstance(metric, type) else metric
        if not hasattr(made, "update"):
            metrics[name] = Bound(made)
    has_loss = type(fit.learner).forward is not nn.Module.forward
    for batch, outputs in answers(fit, split):
        shares: dict[str, Any] = {name: metric({**batch, **outputs}) for name, metric in metrics.items()}
        if has_loss:
            with evaluating(fit.learner, fit.recipe.fit.seed):
                objective = fit.learner(batch)
            if not isinstance(objective, Mapping):
                shares["loss"] = objective[:2]
        for name, (total, count) in shares.items():
            both = sums.setdefault(name, [0.0, 0.0])
            both[0] += float(total)
            both[1] += float(count)
    if not sums:
        raise UserError(f"quantized-score: nothing is measured on {split}", "split=NAME")
    return {name: total / count if count else math.nan for name, (total, count) in sums.items()}
