"""The terms of an objective: ``(total, count)``, or ``(total, count, weight)``, under their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from torch import Tensor

from rk.protocols import Objective

LOSS = "loss"
"""The name of what is minimised, and of a term without a name."""


def split_terms(objective: Objective) -> tuple[dict[str, tuple[Tensor, Tensor | int]], dict[str, float | Tensor]]:
    """Returns the terms of an objective without their weights, and the weights of those that have one.

    Args:
        objective: A term, or terms by name.

    Returns:
        Name -> ``(total, count)``, and name -> weight.
    """
    named = objective if isinstance(objective, dict) else {LOSS: objective}
    terms: dict[str, tuple[Tensor, Tensor | int]] = {}
    weights: dict[str, float | Tensor] = {}
    for name, term in named.items():
        if len(term) == 3:
            terms[name], weights[name] = (term[0], term[1]), term[2]
        else:
            terms[name] = term
    return terms, weights


@overload
def with_loss(means: dict[str, Tensor], weights: Mapping[str, float | Tensor]) -> dict[str, Tensor]: ...


@overload
def with_loss(means: dict[str, float], weights: Mapping[str, float]) -> dict[str, float]: ...


def with_loss(means: dict[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:  # Any: as above
    """Returns the means of terms with ``loss``, their weighted sum, where they are not that already."""
    if len(means) == 1 and LOSS in means and not weights:
        return means
    total = sum(mean * weights.get(name, 1.0) for name, mean in means.items())
    return {**means, LOSS: total}
