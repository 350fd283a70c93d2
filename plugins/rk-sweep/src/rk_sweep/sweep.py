"""The analysis `sweep`: trains a recipe many times, with other values of some of its keys, and keeps the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from rk import UserError
from rk.errors import RunFailed
from rk.training import InnerRun, settings, train_inside
from rk_sweep.choosers import Chooser, Grid, Sampled
from rk_sweep.report import write_report
from rk_sweep.space import Range, check, overrides
from rk_sweep.trial import Trial


class Sweep:
    """Trains a recipe with other values of its keys, and reports which are best.

    Any key that an override can name can be swept, of any plugin. Each training is a separate run within the sweep's
    folder. A stopped sweep is resumed with ``rk analyze sweep --resume last``, and trains nothing twice. Where a
    training fails, because its loss is NaN for instance, the trial has failed and the sweep continues.

    The sweep writes ``trials.csv``, ``trials.png`` and ``best.yaml``, a recipe that extends the given one by the best
    values.

    Args:
        recipe: Name or path of the recipe.
        space: Key -> a list of values, or a range ``{low: 1e-4, high: 1e-2, log: true}``.
        metric: What is compared, ``val/accuracy``; null: the recipe's ``fit.monitor``, else ``val/loss``.
        trials: Choices to train at most; a grid ends when it has trained all.
        seeds: Trainings per choice, with the recipe's own seed and those after it; their mean is compared.
        sampler: tpe learns from the trials so far; random does not; grid takes every choice.
        sampler_seed: Seeds the sampler.

    Examples:
        rk analyze sweep --recipe pointer-net/convex-hull-quick --space '{trainer.optimizer.lr: [1e-3, 5e-3, 1e-2]}'
    """

    def __init__(
        self,
        recipe: str,
        space: dict[str, list[Any] | Range],
        metric: str | None = None,
        trials: Annotated[int, Ge(1)] = 20,
        seeds: Annotated[int, Ge(1)] = 1,
        sampler: Literal["tpe", "random", "grid"] = "tpe",
        sampler_seed: int = 0,
    ) -> None:
        check(space)
        self.recipe = recipe
        self.space = space
        self.metric = metric
        self.trials = trials
        self.seeds = seeds
        self.sampler = sampler
        self.sampler_seed = sampler_seed

    def analyze(self, out: Path) -> dict[str, float]:
        """Trains all trials; returns the best score, the number of its trial, and how many failed.

        Raises:
            RkError: When the recipe, a key or the metric is wrong; nothing has been trained then.
            RunFailed: When all trials failed.
        """
        fit = settings(self.recipe)["fit"]
        metric = self.metric or fit.get("monitor") or "val/loss"
        chooser: Chooser = (
            Grid(self.space) if self.sampler == "grid" else Sampled(self.space, self.sampler, self.sampler_seed)
        )
        done: list[Trial] = []
        higher = True
        for number, values in enumerate(islice(chooser.choices(), self.trials)):
            settings(self.recipe, overrides(values))  # a wrong key is a mistake, not a failed trial
            runs: list[InnerRun] = []
            trial = self._trained(number, values, metric, int(fit["seed"]), out, runs)
            if trial.scores:
                higher = runs[0].higher_is_better(metric)
            done.append(trial)
            chooser.learn(None if trial.score is None else trial.score if higher else -trial.score)
            best = write_report(out, self.recipe, metric, done, higher)
            print(_line(trial, metric, best))
        if best is None:
            raise RunFailed(f"all {len(done)} trials failed, the first because {done[0].failure}")
        failed = sum(not trial.scores for trial in done)
        return {"best": float(best.score or 0.0), "trial": float(best.number), "failed": float(failed)}

    def _trained(
        self, number: int, values: Mapping[str, Any], metric: str, seed: int, out: Path, runs: list[InnerRun]
    ) -> Trial:
        """Trains one choice with each seed; adds the runs to `runs`."""
        scores = []
        for i in range(self.seeds):
            changes = (*overrides(values), f"fit.seed={seed + i}")
            try:
                run = train_inside(self.recipe, changes, name=f"trial-{number:03}-seed-{seed + i}", within=out)
            except RunFailed as error:
                return Trial(number, values, failure=error.message.splitlines()[0])
            runs.append(run)
            if metric not in run.metrics:
                raise UserError(f"{self.recipe} measures no {metric!r}", f"metrics: {', '.join(run.metrics)}")
            score = run.metrics[metric]
            if score is None or not math.isfinite(score):
                return Trial(number, values, failure=f"{metric} is not a number")
            scores.append(score)
        return Trial(number, values, tuple(scores))


def _line(trial: Trial, metric: str, best: Trial | None) -> str:
    """Returns what is printed after a trial."""
    said = f"failed: {trial.failure}" if trial.score is None else f"{metric} {trial.score:.4g}"
    values = " ".join(overrides(trial.values))
    return f"trial {trial.number}  {said}  {values}" + ("  (best so far)" if trial is best else "")
