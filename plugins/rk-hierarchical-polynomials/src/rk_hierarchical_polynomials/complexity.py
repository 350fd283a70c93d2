"""The analysis `sample-complexity`: how many rows it takes to find the hidden polynomial, as the dimension grows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt
from rk_kernels.power_law import fit_power_law

from rk import UserError
from rk.charts import chart, plain, save
from rk.training import Trainings
from rk.writing import write_csv


class SampleComplexity:
    """Finds n*(d), the training rows at which a metric passes a threshold, and the exponent of n* in d.

    Trains a recipe for several dimensions d, each with multiples of d^k rows, and interpolates between logarithms of n.
    In theory (Wang et al. 2024, arXiv:2311.13774) the exponent is k for a polynomial of degree k, whatever the degree
    of the link; that of kernels is k times the link's. The interval of the exponent is that of a bootstrap over seeds,
    with a probability of 90 %. Writes ``sample-complexity.csv`` and ``sample-complexity.png``. A stopped analysis is
    resumed with ``rk analyze sample-complexity --resume last``.

    Args:
        recipe: Name or path of the recipe.
        dims: Values of d: two at least.
        multiples: Rows are these multiples of d^degree.
        degree: k.
        threshold: The metric's, which rises with rows.
        metric: The ``split/metric``.
        seeds: Trainings for each d and n, with the recipe's own seed and those after it.
        overrides: Further changes of the recipe, ``key=value``.

    Examples:
        rk analyze sample-complexity --recipe hierarchical-polynomials/tanh-quick --dims '[8,12,16]'
    """

    def __init__(
        self,
        recipe: str,
        dims: tuple[Annotated[int, Ge(2)], ...] = (8, 12, 16),
        multiples: tuple[Annotated[float, Gt(0)], ...] = (1.0, 2.0, 4.0, 8.0),
        degree: Annotated[int, Ge(1)] = 2,
        threshold: float = 0.9,
        metric: str = "test/correlation",
        seeds: Annotated[int, Ge(1)] = 3,
        overrides: tuple[str, ...] = (),
    ) -> None:
        if len(set(dims)) < 2:
            raise ValueError("dims must be two different numbers at least: an exponent is a slope")
        if len(set(multiples)) < 2:
            raise ValueError("multiples must be two different numbers at least")
        self.recipe = recipe
        self.dims = tuple(sorted(set(dims)))
        self.multiples = tuple(sorted(set(multiples)))
        self.degree = degree
        self.threshold = threshold
        self.metric = metric
        self.seeds = seeds
        self.overrides = overrides

    def analyze(self, out: Path) -> dict[str, float]:
        """Trains everything; returns the exponent with its interval, and the mean of n* for each d."""
        trainings = Trainings(self.recipe, self.metric, out)
        rows: list[list[float]] = []
        crossings: dict[float, list[float]] = {}
        for d in self.dims:
            counts = [round(multiple * d**self.degree) for multiple in self.multiples]
            for seed in range(self.seeds):
                scores = []
                for n in counts:
                    changes = [f"data.num_features={d}", f"data.train_examples={n}", *self.overrides]
                    scores.append(trainings.score(trainings.train(f"{d}-{n}-seed-{seed}", seed, changes)))
                rows += [[d, n, seed, score] for n, score in zip(counts, scores, strict=True)]
                crossings.setdefault(d, []).append(self._crossing(d, counts, scores))
            print(f"d = {d}: n* {' '.join(f'{n:.0f}' for n in crossings[d])}")
        law = fit_power_law(crossings)
        write_csv(out / "sample-complexity.csv", ["d", "n", "seed", plain(self.metric)], rows)
        means = {dim: sum(found) / len(found) for dim, found in crossings.items()}
        with chart(4.6, 3.2) as (figure, axis):
            for dim, found in crossings.items():
                axis.plot([dim] * len(found), found, "o", color="C0", alpha=0.6)
            axis.plot(list(means), [law(dim) for dim in means], "-", color="C0", label=f"exponent {-law.exponent:.2f}")
            first = law(self.dims[0])
            theory = [first * (dim / self.dims[0]) ** self.degree for dim in means]
            axis.plot(list(means), theory, "--", color="0.5", label=f"theory: {self.degree}")
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xlabel("d")
            axis.set_ylabel(f"rows for {plain(self.metric)} = {self.threshold:g}")
            axis.legend()
            save(figure, out / "sample-complexity.png")
        numbers = {"exponent": -law.exponent, "exponent/low": -law.high, "exponent/high": -law.low}
        return {**numbers, **{f"rows/{dim:g}": mean for dim, mean in means.items()}}

    def _crossing(self, d: int, counts: list[int], scores: list[float]) -> float:
        """Returns the n at which scores first pass the threshold."""
        place = next((i for i, score in enumerate(scores) if score >= self.threshold), None)
        if not place:
            side = "larger" if place is None else "smaller"
            raise UserError(
                f"sample-complexity: at d = {d}, {self.metric} does not pass {self.threshold:g} between n = "
                f"{counts[0]} and {counts[-1]}, got {' '.join(f'{score:.3f}' for score in scores)}",
                f"give {side} multiples",
            )
        (below, low), (above, high) = ((counts[i], scores[i]) for i in (place - 1, place))
        along = (self.threshold - low) / (high - low)
        return math.exp(math.log(below) + along * (math.log(above) - math.log(below)))
