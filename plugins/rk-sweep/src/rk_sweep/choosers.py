"""Choosers of the next trial's values: a grid, or one of Optuna's samplers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Literal, Protocol

from rk_sweep.space import Range, Space, grid

STARTUP = 8
"""Random trials before `tpe` chooses by what it has seen."""


class Chooser(Protocol):
    """Yields choices; each must be answered by `learn` before the next one is asked for."""

    def choices(self) -> Iterator[dict[str, Any]]:
        """Yields key -> value."""
        ...

    def learn(self, score: float | None) -> None:
        """Takes the score of the last choice, more is better; None where it failed."""
        ...


class Grid:
    """Every choice, in order.

    Args:
        space: Lists, and ranges with a step.
    """

    def __init__(self, space: Space) -> None:
        self.space = space

    def choices(self) -> Iterator[dict[str, Any]]:
        yield from grid(self.space)

    def learn(self, score: float | None) -> None:
        """Does nothing: the order is fixed."""


class Sampled:
    """Optuna's choice (Akiba et al., arXiv:1907.10902). It depends on the seed and the scores so far alone.

    Args:
        space: The space.
        sampler: random, or tpe: the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).
        seed: Of the sampler.
    """

    def __init__(self, space: Space, sampler: Literal["random", "tpe"], seed: int) -> None:
        import optuna
        from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self.study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed))
        self.sampler, self.seed = sampler, seed
        self.distributions: dict[str, BaseDistribution] = {}
        for key, values in space.items():
            if not isinstance(values, Range):  # by their numbers: Optuna takes only plain values
                self.distributions[key] = CategoricalDistribution(range(len(values)))
            elif values.is_whole:
                whole = int(values.step or 1)
                self.distributions[key] = IntDistribution(int(values.low), int(values.high), values.log, whole)
            else:
                self.distributions[key] = FloatDistribution(values.low, values.high, values.log, values.step)

    def choices(self) -> Iterator[dict[str, Any]]:
        import optuna

        for number in count():
            seed = self.seed * 100_003 + number  # a resumed sweep asks for the same
            if self.sampler == "tpe":
                self.study.sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, multivariate=True, seed=seed)
            else:
                self.study.sampler = optuna.samplers.RandomSampler(seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self.asked = self.study.ask(self.distributions)
            yield {key: _value(values, self.asked.params[key]) for key, values in self.space.items()}

    def learn(self, score: float | None) -> None:
        import optuna

        if score is None:
            self.study.tell(self.asked, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(self.asked, score)


def _value(values: Sequence[Any] | Range, suggested: Any) -> Any:
    """Returns the value for what Optuna suggested: of a list, its number; of a range, more digits than anyone reads."""
    if not isinstance(values, Range):
        return values[suggested]
    return suggested if values.is_whole or values.step is not None else float(f"{suggested:.4g}")
