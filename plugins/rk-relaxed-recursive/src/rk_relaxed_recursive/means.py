"""Means of an objective over batches."""

from __future__ import annotations

from rk import Objective, Term


class Mean:
    """The mean of an objective over what its counts count; of several terms, their weighted sum."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._counts: dict[str, float] = {}
        self._weights: dict[str, float] = {}

    def add(self, objective: Objective) -> None:
        """Adds the objective of a batch."""
        terms: dict[str, Term] = objective if isinstance(objective, dict) else {"": objective}
        for name, term in terms.items():
            self._totals[name] = self._totals.get(name, 0.0) + float(term[0])
            self._counts[name] = self._counts.get(name, 0.0) + float(term[1])
            self._weights[name] = float(term[2]) if len(term) == 3 else 1.0

    @property
    def value(self) -> float:
        """The mean so far."""
        return sum(self._weights[name] * self._totals[name] / max(self._counts[name], 1.0) for name in self._totals)
