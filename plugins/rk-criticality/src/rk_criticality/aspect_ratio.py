"""The analysis `aspect-ratio`: which depth / width is best for a number of weights, predicted and measured."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated

from annotated_types import Ge
from torch import nn

from rk import UserError
from rk.charts import COLORS, chart, plain, save
from rk.training import Trainings
from rk.writing import write_csv
from rk_criticality.activations import FUNCTIONS
from rk_criticality.theory import critical


class AspectRatio:
    """Trains a perceptron at several depths with as many weights each, and marks the predicted depth / width.

    The prediction, r* = 4 / ((20 + 3 outputs) nu) (App. A of arXiv:2106.10165), is where the layers add most to
    what outputs have to do with each other: networks far below it are kernels, networks far above it are chaotic. The
    recipe should have critical initial weights, and rates that fit any shape (`layer-rates`).

    Writes ``aspect-ratio.csv`` and a figure; each training is a run within the folder.

    Args:
        recipe: Name or path of a recipe whose model has `hidden_sizes` and `activation`.
        depths: Layers, the last one included: two numbers at least, from 2.
        metric: The ``split/metric``; by default that of the tests.
        seeds: Trainings at each depth.
        overrides: Further changes of the recipe, ``key=value``.

    Examples:
        rk analyze aspect-ratio --recipe criticality/rates-tanh --metric test/loss
    """

    def __init__(
        self,
        recipe: str,
        depths: tuple[Annotated[int, Ge(2)], ...] = (2, 3, 4, 6, 8, 12, 16, 24),
        metric: str | None = None,
        seeds: Annotated[int, Ge(1)] = 3,
        overrides: tuple[str, ...] = (),
    ) -> None:
        if len(set(depths)) < 2:
            raise ValueError("depths must be two different numbers at least")
        self.recipe = recipe
        self.depths = sorted(set(depths))
        self.metric = metric
        self.seeds = seeds
        self.overrides = overrides

    def analyze(self, out: Path) -> dict[str, float]:
        """Trains everything; returns the predicted and the best depth / width, and the mean at each depth.

        Raises:
            rk.UserError: When the model of the recipe has no `hidden_sizes`, or too few weights for a depth.
        """
        trainings = Trainings(self.recipe, self.metric, out)
        model = trainings.plain.get("model") or {}
        if not isinstance(model.get("hidden_sizes"), list) or model.get("activation") not in FUNCTIONS:
            raise UserError("aspect-ratio: the recipe's model has no hidden_sizes and activation", "model: mlp")
        point = critical(model["activation"])
        size = ("fit.max_steps=1", "fit.max_epochs=null", "fit.validate_batches=1", *self.overrides)
        inner = trainings.train("size", 0, size)
        linear = [module for module in inner.learner.modules() if isinstance(module, nn.Linear)]
        weights = sum(parameter.numel() for parameter in inner.learner.parameters())
        ends = linear[0].in_features, linear[-1].out_features
        scores: dict[int, list[float]] = {}
        ratios: dict[int, float] = {}
        for depth in self.depths:
            width = fitting_width(weights, depth, *ends)
            ratios[depth] = depth / width
            hidden = f"model.hidden_sizes={[width] * (depth - 1)}"
            scores[depth] = [
                trainings.score(trainings.train(f"{depth}-layers-seed-{s}", s, [hidden, *self.overrides]))
                for s in range(self.seeds)
            ]
            shown = " ".join(f"{score:.4g}" for score in scores[depth])
            print(
                f"depth {depth}, width {width}, depth/width {ratios[depth]:.3g}: {trainings.metric} {shown}", flush=True
            )
        means = {depth: fmean(found) for depth, found in scores.items()}
        higher = inner.higher_is_better(trainings.metric or "")
        best = (max if higher else min)(means, key=lambda depth: means[depth])
        predicted = point.best_ratio(ends[1])
        rows = [[d, round(d / ratios[d]), ratios[d], means[d], *scores[d]] for d in self.depths]
        seeds = [f"seed {s}" for s in range(1, self.seeds + 1)]
        write_csv(out / "aspect-ratio.csv", ["depth", "width", "depth/width", trainings.metric or "", *seeds], rows)
        _draw(ratios, scores, predicted, trainings.metric or "", out / "aspect-ratio.png")
        found = {"best": ratios[best], "best/depth": float(best), "weights": float(weights)}
        if predicted is not None:
            near = min(self.depths, key=lambda depth: abs(math.log(ratios[depth] / predicted)))
            found |= {
                "predicted": predicted,
                "predicted/depth": float(near),
                "best-less-predicted": means[best] - means[near],
            }
            if self.seeds > 1:
                both = zip(scores[best], scores[near], strict=True)
                found["best-less-predicted/std"] = stdev(a - b for a, b in both)
        return found | {f"at/{depth}": mean for depth, mean in means.items()}


def fitting_width(weights: int, depth: int, inputs: int, outputs: int) -> int:
    """Returns the width of hidden layers with which a perceptron has about so many weights and biases.

    Args:
        weights: Of all layers together.
        depth: Layers, the last one included.
        inputs: Of the first layer.
        outputs: Of the last one.

    Raises:
        rk.UserError: When there are too few for a width of 2.

    Examples:
        >>> fitting_width(20 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10, 3, 20, 10)
        64
    """
    square, line = depth - 2, inputs + outputs + depth - 1
    rest = weights - outputs
    width = rest / line if not square else (math.sqrt(line**2 + 4 * square * rest) - line) / (2 * square)
    if round(width) < 2:
        raise UserError(
            f"aspect-ratio: {weights} weights are too few for {depth} layers", "fewer depths, or a wider model"
        )
    return round(width)


def _draw(
    ratios: dict[int, float], scores: dict[int, list[float]], predicted: float | None, metric: str, path: Path
) -> None:
    with chart(5.4, 3.2) as (figure, axis):
        for depth, found in scores.items():
            axis.plot([ratios[depth]] * len(found), found, "o", color=COLORS[0], alpha=0.3, markersize=3)
        axis.plot(
            list(ratios.values()), [fmean(scores[d]) for d in ratios], "-o", color=COLORS[0], markersize=4, label="mean"
        )
        if predicted is not None:
            axis.axvline(predicted, color=COLORS[1], linestyle="--", label=f"predicted best: {predicted:.3g}")
        axis.set_xscale("log")
        axis.set_xlabel("depth / width")
        axis.set_ylabel(plain(metric))
        axis.legend()
        save(figure, path)
