"""The terms of an objective: ``(total, count)``, or ``(total, count, weight)``, under their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

LOSS = "loss"
"""The name of what is minimised, and of a term without a name."""


def split_terms(objective: Any) -> tuple[dict[str, tuple[Tensor, Any]], dict[str, Any]]:
    """Returns the terms of an objective without their weights, and the weights of those that have one.

    Args:
        objective: A term, or terms by name.

    Returns:
        Name -> ``(total, count)``, and name -> weight.
    """
    named = objective if isinstance(objective, dict) else {LOSS: objective}
    weights = {name: term[2] for name, term in named.items() if len(term) == 3}
    if not weights:
        return named, weights
    return {name: (term[0], term[1]) for name, term in named.items()}, weights


def with_loss(means: dict[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the means of terms with ``loss``, their weighted sum, where they are not that already."""
    if len(means) == 1 and LOSS in means and not weights:
        return means
    total = sum(mean * weights.get(name, 1.0) for name, mean in means.items())
    return {**means, LOSS: total}
