"""Trainings of one recipe with other callbacks: what the analyses of this plugin have in common."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rk import Runtime, UserError
from rk.training import InnerRun, settings, train_inside


class Trainings:
    """Trains a recipe several times, each time with further callbacks.

    Args:
        recipe: Its name or path.
        metric: The ``split/metric`` that is compared; null: the accuracy of the tests, else `fit.monitor`, else the
            loss of validation.
        within: The folder of the analysis, or the runtime of the search.
    """

    def __init__(self, recipe: str, metric: str | None, within: Path | Runtime) -> None:
        plain = settings(recipe)
        self.recipe = recipe
        self.metric = metric
        self.within = within
        self.callbacks = [*plain.get("callbacks", [])]
        self.fit: dict[str, Any] = plain["fit"]

    def train(self, name: str, seed: int, *callbacks: Mapping[str, object]) -> InnerRun:
        """Trains with the recipe's callbacks and further ones; what was trained already is taken as it is.

        Args:
            name: Of the training.
            seed: Added to the recipe's own.
            callbacks: As in a recipe.
        """
        changes = [f"fit.seed={self.fit['seed'] + seed}"]
        if callbacks:
            changes.append(f"callbacks={json.dumps([*self.callbacks, *callbacks])}")
        return train_inside(self.recipe, changes, name=name, within=self.within)

    def score(self, run: InnerRun) -> float:
        """Returns the metric that is compared. Raises `rk.UserError` when it is not measured, or not a number."""
        if self.metric is None:
            chosen = ("test/accuracy", self.fit.get("monitor"), "val/loss")
            self.metric = next((name for name in chosen if name in run.metrics), None)
        value = None if self.metric is None else run.metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            raise UserError(f"{self.recipe} measures no {self.metric!r}", f"--metric takes: {', '.join(run.metrics)}")
        return value
