"""Metrics of the members of an ensemble: the best, the mean, the worst, and how many succeed."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from jaxtyping import Float, Int
from torch import Tensor


def member_hits(
    member_logits: Float[Tensor, "batch members classes"], targets: Int[Tensor, "batch"]
) -> Float[Tensor, "members"]:
    """Returns how many examples each member classifies right."""
    return (member_logits.argmax(-1) == targets.unsqueeze(1)).sum(0, dtype=torch.float32)


class _OfMembers:
    """Counts the hits of every member."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all examples."""
        self.hits: Tensor | None = None
        self.count = 0

    def update(self, *, member_logits: Float[Tensor, "batch members classes"], targets: Int[Tensor, "batch"]) -> None:
        """Adds a batch."""
        self._add(member_hits(member_logits, targets), len(targets))

    def merge(self, other: _OfMembers) -> None:
        """Adds the examples that another metric has seen."""
        if other.hits is not None:
            self._add(other.hits, other.count)

    def _add(self, hits: Float[Tensor, "members"], count: int) -> None:
        hits = hits.cpu()
        self.hits = hits if self.hits is None else self.hits + hits
        self.count += count

    def accuracies(self) -> Float[Tensor, "members"]:
        """Returns each member's accuracy; NaN when there was no example."""
        return torch.full((1,), torch.nan) if self.hits is None else self.hits / self.count


class MemberAccuracy(_OfMembers):
    """A number of the accuracies that the members of an ensemble reach, each alone.

    Args:
        statistic: Which: that of the best member, the mean over members, that of the worst, or their standard
            deviation.

    Examples:
        metrics: {best: {name: member-accuracy, statistic: best}}
    """

    def __init__(self, statistic: Literal["best", "mean", "worst", "std"] = "mean") -> None:
        super().__init__()
        self.statistic = statistic
        self.higher_is_better = statistic != "std"

    def compute(self) -> float:
        """Returns the number, from 0 to 1."""
        found = self.accuracies()
        match self.statistic:
            case "best":
                return float(found.max())
            case "worst":
                return float(found.min())
            case "std":
                return float(found.std()) if len(found) > 1 else 0.0
        return float(found.mean())


class SuccessRate(_OfMembers):
    """Share of the members of an ensemble whose accuracy is at least some value.

    Args:
        at_least: The accuracy that counts as success.

    Examples:
        metrics: {success: {name: success-rate, at_least: 0.85}}
    """

    def __init__(self, at_least: Annotated[float, Ge(0), Le(1)] = 0.9) -> None:
        super().__init__()
        self.at_least = at_least

    def compute(self) -> float:
        """Returns the share, from 0 to 1."""
        found = self.accuracies()
        return float((found >= self.at_least).float().mean())
