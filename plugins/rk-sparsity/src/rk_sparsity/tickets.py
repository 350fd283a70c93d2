"""Iterative magnitude pruning with rewinding: the trainings of one lottery, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from rk.training import InnerRun
from rk_sparsity import scores
from rk_sparsity.topk import keep
from rk_sparsity.trainings import Trainings
from rk_sparsity.weights import prunable

_OTHER_SEED = 1000
"""What is added to the seed of a ticket that begins with other weights."""


@dataclass(frozen=True)
class Trained:
    """One training of a lottery.

    Attributes:
        name: ``round N``, ``reinit`` or ``shuffle``.
        density: Share of the prunable weights that is kept.
        score: What is compared.
        run: The training.
    """

    name: str
    density: float
    score: float
    run: InnerRun


class Tickets:
    """Rounds of training and removing weights (arXiv:1803.03635, Sec. 2), then the controls of the last ticket.

    Args:
        trainings: Trains the recipe.
        out: Where masks are written.
        rounds: Times that weights are removed.
        prune_fraction: Share of the weights that are left which a round removes.
        rewind_steps: Steps that a round trains densely first: those of the dense run (arXiv:1912.05671).
        weights: `include`, `exclude` and `target`, as `prunable` takes them.
    """

    def __init__(
        self,
        trainings: Trainings,
        out: Path,
        rounds: int,
        prune_fraction: float,
        rewind_steps: int,
        weights: Mapping[str, Any],  # Any: arguments of `prunable`
    ) -> None:
        self.trainings = trainings
        self.out = out
        self.rounds = rounds
        self.prune_fraction = prune_fraction
        self.rewind_steps = rewind_steps
        self.weights = dict(weights)

    @property
    def metric(self) -> str:
        """The ``split/metric`` that is compared."""
        return self.trainings.metric or "score"

    def trained(self, seed: int, suffix: str = "") -> Iterator[Trained]:
        """Yields the dense network, the ticket of each round, and the last one with other weights and shuffled masks.

        What was trained already is not trained again.

        Args:
            seed: Added to that of the recipe.
            suffix: Ends the names of runs and files.
        """
        run = self.trainings.train(f"round-0{suffix}", seed)
        yield self._noted("round 0", run, 1.0)
        masks: dict[str, object] = {}
        density = 1.0
        for number in range(1, self.rounds + 1):
            file = self.out / f"ticket-{number}{suffix}.safetensors"
            density = self._prune(run, number, file)
            masks = {"name": "given-masks", "file": str(file), "start_step": self.rewind_steps, **self.weights}
            run = self.trainings.train_with(f"round-{number}{suffix}", seed, masks)
            yield self._noted(f"round {number}", run, density)
        again = self.trainings.train_with(f"reinit{suffix}", seed + _OTHER_SEED, masks)
        yield self._noted("reinit", again, density)
        shuffled = self.trainings.train_with(f"shuffle{suffix}", seed, {**masks, "shuffle": True})
        yield self._noted("shuffle", shuffled, density)

    def _noted(self, name: str, run: InnerRun, density: float) -> Trained:
        return Trained(name, density, self.trainings.score(run), run)

    def _prune(self, run: InnerRun, number: int, file: Path) -> float:
        """Writes the masks of a round, unless they are there already; returns their density."""
        if not file.exists():
            weights = prunable(run.learner, **self.weights)
            left = {name: w.detach() != 0 for name, w in weights.items()}
            score = {n: s.masked_fill(~left[n], -1.0) for n, s in scores.magnitude(weights).items()}
            save_file(keep(score, (1 - self.prune_fraction) ** number, "global", 1), file)
        masks = [*load_file(file).values()]
        return sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
