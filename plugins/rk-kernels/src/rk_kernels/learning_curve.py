"""The analysis `learning-curve`: how fast the error of any recipe falls with the size of what it learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from rk import UserError
from rk.training import Trainings
from rk_kernels.curves import Curve, draw_curves


class LearningCurve:
    """Trains a recipe with several values of one parameter and fits a power law to what a metric makes of them.

    The interval of the exponent is that of a bootstrap over seeds, with a probability of 90 %. Writes
    ``learning-curve.csv`` and ``learning-curve.png``; each training is a run within the folder. A stopped analysis is
    resumed with ``rk analyze learning-curve --resume last``.

    Args:
        recipe: Name or path of the recipe.
        values: What the parameter is set to: two at least, in any order.
        parameter: The parameter that varies; by default the number of training examples.
        metric: The ``split/metric`` that falls.
        seeds: Trainings for each value, with the recipe's own seed and those after it.
        overrides: Further changes of the recipe, ``key=value``.
        expected: The exponent that a theory predicts, drawn beside the fit; null for none.

    Examples:
        rk analyze learning-curve --recipe kernels/digits --parameter data.batch_size --values '[64,128,256]' --seeds 3
    """

    def __init__(
        self,
        recipe: str,
        values: tuple[Annotated[int, Ge(1)], ...] = (64, 128, 256, 512),
        parameter: str = "data.train_examples",
        metric: str = "test/loss",
        seeds: Annotated[int, Ge(1)] = 3,
        overrides: tuple[str, ...] = (),
        expected: float | None = None,
    ) -> None:
        if len(set(values)) < 2:
            raise ValueError("values must be two different numbers at least: an exponent is a slope")
        self.recipe = recipe
        self.values = tuple(sorted(set(values)))
        self.parameter = parameter
        self.metric = metric
        self.seeds = seeds
        self.overrides = overrides
        self.expected = expected

    def analyze(self, out: Path) -> dict[str, float]:
        """Trains everything; returns the exponent with its interval, and the mean of the metric at each value."""
        trainings = Trainings(self.recipe, self.metric, out)
        found: dict[float, list[float]] = {}
        for value in self.values:
            for seed in range(self.seeds):
                changes = [f"{self.parameter}={value}", *self.overrides]
                score = trainings.score(trainings.train(f"{value}-seed-{seed}", seed, changes))
                if score <= 0:
                    raise UserError(
                        f"learning-curve: {trainings.metric} is {score:g} at {self.parameter}={value}: a power law has "
                        "values above 0",
                        "take a metric that falls, such as test/loss",
                    )
                found.setdefault(value, []).append(score)
            print(f"{self.parameter}={value}: {trainings.metric} {' '.join(f'{s:.4g}' for s in found[value])}")
        curve = Curve(found, self.expected)
        metric = trainings.metric or "score"
        curve.write(out / "learning-curve.csv", self.parameter, metric, "seed")
        draw_curves({"": curve}, self.parameter, metric, out / "learning-curve.png")
        law = curve.law
        means = {f"at/{value}": curve.mean(value) for value in found}
        return {"exponent": law.exponent, "exponent/low": law.low, "exponent/high": law.high, **means}
