"""The callback `prune`: weights are removed once, before or during training, by a score."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from rk import FitContext
from rk_sparsity import scores
from rk_sparsity.densities import Distribution
from rk_sparsity.engine import Sparsifier, rescale, step_at
from rk_sparsity.masks import Kept
from rk_sparsity.topk import keep

_STREAM = 0x7072756E65
"""Keeps random scores apart from all else that is drawn from `fit.seed`."""

Method = Literal["magnitude", "random", "snip", "grasp", "synflow"]


class Prune(Sparsifier):
    """Removes weights once and trains the others: before training, or after some steps.

    To prune a run that is trained already, begin with its weights (``init_from``) and leave `at` at 0.

    Args:
        seed: Seeds random scores.
        density: Share of the weights that is kept. 0 is possible where `target` is hidden-to-hidden and `keep_least` 0.
        method: The score: the magnitude, random numbers, or the saliency of SNIP, GraSP or SynFlow.
        distribution: Which layers keep how many: `global` compares scores over all layers, `uniform` keeps the same
            share of each, `erk` more of small layers.
        at: Share of the run's steps after which weights are removed. 0: before training.
        probe_batches: Batches of the training split that SNIP and GraSP score with.
        temperature: What GraSP divides logits by.
        rounds: Rounds of SynFlow, each of which removes a part.
        keep_least: How many weights each layer keeps at least, where scores are compared over all layers.
        init_rescale: Whether the weights that are left are divided by the square root of their layer's density, so that
            the signal keeps its size.
        allow_empty: Whether a layer may lose all of its weights, with `keep_least` 0: it then answers with a constant.

    Examples:
        callbacks: [{name: prune, method: synflow, density: 0.02}]
    """

    def __init__(
        self,
        seed: int,
        density: Annotated[float, Ge(0), Le(1)] = 0.1,
        method: Method = "magnitude",
        distribution: Distribution = "global",
        at: Annotated[float, Ge(0), Lt(1)] = 0.0,
        probe_batches: Annotated[int, Ge(1)] = 1,
        temperature: Annotated[float, Gt(0)] = 200.0,
        rounds: Annotated[int, Ge(1)] = 100,
        keep_least: Annotated[int, Ge(0)] = 1,
        init_rescale: bool = False,
        allow_empty: bool = False,
        **weights: Any,
    ) -> None:
        super().__init__(**weights)
        self.seed = seed
        self.density = density
        self.method = method
        self.distribution = distribution
        self.at = at
        self.probe_batches = probe_batches
        self.temperature = temperature
        self.rounds = rounds
        self.keep_least = keep_least
        self.init_rescale = init_rescale
        self.allow_empty = allow_empty

    def fit_start(self, fit: FitContext) -> None:
        self.step = step_at(self.at, fit, "prune")
        new = self._kept_state is None
        super().fit_start(fit)
        if new and self.init_rescale and self.at == 0:
            rescale(self.known)

    def first(self, fit: FitContext) -> Kept | None:
        return self._chosen(fit) if self.at == 0 else None

    def after_step(self, fit: FitContext) -> None:
        if fit.step == self.step:
            self.change(self._chosen(fit))
        super().after_step(fit)

    def _chosen(self, fit: FitContext) -> Kept:
        weights = self.known.weights
        if self.method == "synflow":
            return self._by_synflow(fit)
        if self.method == "magnitude":
            score = scores.magnitude(weights)
        elif self.method == "random":
            score = scores.random(weights, self.seed, _STREAM)
        else:
            batches = [*fit.batches("train", self.probe_batches)]
            if self.method == "snip":
                score = scores.snip(fit.learner, weights, batches)
            else:
                score = scores.grasp(fit.learner, weights, batches, self.temperature)
        return keep(score, self.density, self.distribution, self.keep_least)

    def _by_synflow(self, fit: FitContext) -> Kept:
        """Removes a part in each round: the density falls exponentially, and what is left is scored (Alg. 1)."""
        batch = next(fit.batches("train", 1))
        before = {name: w.detach().clone() for name, w in self.known.weights.items()}
        kept = self.known.kept
        try:
            for round_ in range(1, self.rounds + 1):
                for name, w in self.known.weights.items():
                    w.data.mul_(kept[name])
                score = scores.synflow(fit.learner, self.known.weights, batch)
                score = {name: s.masked_fill(~kept[name], -1.0) for name, s in score.items()}
                kept = keep(score, self.density ** (round_ / self.rounds), self.distribution, self.keep_least)
        finally:
            for name, w in self.known.weights.items():
                w.data.copy_(before[name])
        return kept
