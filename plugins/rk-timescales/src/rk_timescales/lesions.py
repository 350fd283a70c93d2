"""The analysis `lesions`: what a network still answers when neurons are gone or its weights are moved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Annotated

from annotated_types import Ge, Gt
from torch import nn

from rk import Run
from rk.charts import COLORS, chart, plain, save
from rk.sampling import generator
from rk.writing import write_csv
from rk_timescales.probing import ablated, accuracy, by_recipe, leaky_of, means, perturbed, task_of

SOLVED = 0.98
"""The accuracy from which an N counts as answered."""


class Lesions:
    """Ablation and perturbation of runs with the layer `leaky` (arXiv:2309.12927).

    One neuron at a time is taken out: those with the longest time constants, and those with the shortest. Then all
    weights of W, or all time constants, are moved by random numbers, with a norm that is a share of theirs. What is
    left is ``(accuracy - 1/2) / (intact accuracy - 1/2)``: 1 for no harm, 0 for chance.

    Args:
        runs: The runs; those of one recipe are taken together, and their mean is what counts.
        n: The N that is asked; null: the largest, up to 12, that a run answers with 98 %.
        neurons: How many neurons of each kind are taken out, one at a time.
        strengths: Norms of what is added, as shares of the norm of W or of tau.
        repeats: Perturbations of each strength.
        examples: Sequences that are answered.

    Raises:
        UserError: When a run is of other data, or has no such layer.

    Examples:
        rk analyze lesions --runs "[dms-quick, dms-single]" --n 4
    """

    def __init__(
        self,
        runs: list[Run],
        n: Annotated[int, Ge(2)] | None = None,
        neurons: Annotated[int, Ge(1)] = 20,
        strengths: tuple[Annotated[float, Gt(0)], ...] = (0.05, 0.1, 0.2, 0.5, 1.0),
        repeats: Annotated[int, Ge(1)] = 5,
        examples: Annotated[int, Ge(1)] = 512,
    ) -> None:
        self.runs = runs
        self.n = n
        self.neurons = neurons
        self.strengths = strengths
        self.repeats = repeats
        self.examples = examples

    def analyze(self, out: Path) -> dict[str, float]:
        """Writes `lesions.csv` and a figure; returns what each lesion leaves: ``dms-quick/long``, ``.../W 0.1``."""
        found: dict[str, list[Mapping[str, float]]] = {}
        rows: list[tuple[str, str, str, float]] = []
        for name, runs in by_recipe(self.runs).items():
            found[name] = [self._lesions(run) for run in runs]
            for run, lesions in zip(runs, found[name], strict=True):
                rows += [(name, run.folder.path.name, lesion, left) for lesion, left in lesions.items()]
        write_csv(out / "lesions.csv", ("recipe", "run", "lesion", "left"), rows)
        self._draw(found, out / "lesions.png")
        return {f"{name}/{lesion}": left for name, of_runs in found.items() for lesion, left in means(of_runs).items()}

    def _lesions(self, run: Run) -> Mapping[str, float]:
        task, device = task_of(run), run.runtime.device
        order = leaky_of(run.learner, run.folder.label).time_constants.argsort().tolist()
        n = self.n or self._solved(run)

        def left(learners: list[nn.Module]) -> float:
            found = fmean(accuracy(learner, task, n, self.examples, device) for learner in learners)
            return (found - 0.5) / max(intact - 0.5, 1e-9)

        intact = accuracy(run.learner, task, n, self.examples, device)
        results = {"intact accuracy": intact}
        for kind, chosen in (("short", order[: self.neurons]), ("long", order[-self.neurons :])):
            results[kind] = left([ablated(run.learner, neuron) for neuron in chosen])
        for what, symbol in (("weights", "W"), ("tau", "tau")):
            for strength in self.strengths:
                random = [generator(task.seed, 5, repeat) for repeat in range(self.repeats)]
                results[f"{symbol} {strength:g}"] = left([perturbed(run.learner, what, strength, r) for r in random])
        return results

    def _solved(self, run: Run) -> int:
        """Returns the largest N up to 12 that a run answers; the smallest of the task where it answers none."""
        task = task_of(run)
        numbers = range(task.growth.first, min(task.growth.largest, 12) + 1)
        shares = {n: accuracy(run.learner, task, n, self.examples, run.runtime.device) for n in numbers}
        return max((n for n, share in shares.items() if share >= SOLVED), default=numbers[0])

    def _draw(self, found: Mapping[str, list[Mapping[str, float]]], path: Path) -> None:
        """Draws the mean of the runs of each recipe, and each of them, thin."""
        with chart(7.2, 2.8, columns=3, sharey=True) as (figure, *axes):
            for i, (name, of_runs) in enumerate(found.items()):
                color = COLORS[i % len(COLORS)]
                for lesions, width, opacity in [(means(of_runs), 1.8, 1.0), *((one, 0.7, 0.4) for one in of_runs)]:
                    kind = {
                        "color": color,
                        "linewidth": width,
                        "alpha": opacity,
                        "marker": "o",
                        "markersize": 2 * width,
                    }
                    label = plain(name) if opacity == 1 else None
                    axes[0].plot([0, 1], [lesions[k] for k in ("short", "long")], **kind)
                    for axis, symbol in zip(axes[1:], ("W", "tau"), strict=True):
                        values = [lesions[f"{symbol} {s:g}"] for s in self.strengths]
                        axis.plot(self.strengths, values, label=label, **kind)
            axes[0].set_xticks([0, 1], ["short tau", "long tau"])
            axes[0].set_xlim(-0.4, 1.4)
            axes[0].set_ylabel("accuracy that is left")
            axes[0].set_xlabel("one neuron taken out")
            for axis, text in zip(axes[1:], ("W moved by", "tau moved by"), strict=True):
                axis.set_xscale("log")
                axis.set_xlabel(text)
            axes[2].legend()
            save(figure, path)
