"""Trainings of one recipe with other callbacks: what the analyses of this plugin have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping

import rk.training
from rk.training import InnerRun


class Trainings(rk.training.Trainings):
    """Trains a recipe several times, each time with further callbacks."""

    def train_with(self, name: str, seed: int, *callbacks: Mapping[str, object]) -> InnerRun:
        """Trains with the recipe's callbacks and further ones.

        Args:
            name: Of the training.
            seed: Added to the recipe's own.
            callbacks: As in a recipe.
        """
        every = [*self.plain.get("callbacks", []), *callbacks]
        return self.train(name, seed, [f"callbacks={json.dumps(every)}"] if callbacks else [])
