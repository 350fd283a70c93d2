"""Metrics of pairs of nodes that are linked or not. torchmetrics computes areas; ranks are counted here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor


class _Ranked(ABC):
    """Collects the scores of all pairs of a split: what is measured compares each with all others."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._scores: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, *, logits: Float[Tensor, "links classes"], targets: Int[Tensor, "links"]) -> None:
        """Adds a batch; the score of a pair is the logit of "linked" above that of "not linked"."""
        self._scores.append((logits[:, 1] - logits[:, 0]).detach().float().cpu())
        self._targets.append(targets.cpu())

    def merge(self, other: Self) -> None:
        self._scores += other._scores
        self._targets += other._targets

    def compute(self) -> float:
        if not self._scores:
            return math.nan
        scores, targets = torch.cat(self._scores), torch.cat(self._targets)
        linked, unlinked = scores[targets == 1], scores[targets == 0]
        return self._measured(linked, unlinked) if len(linked) and len(unlinked) else math.nan

    @abstractmethod
    def _measured(self, linked: Tensor, unlinked: Tensor) -> float:
        """Returns the number for the scores of pairs that are linked and of those that are not."""


class AUC(_Ranked):
    """Area under the ROC curve: how often a linked pair scores higher than one that is not. Ties count half.

    Examples:
        metrics: {auc: link-auc}
    """

    def _measured(self, linked: Tensor, unlinked: Tensor) -> float:
        from torchmetrics.functional.classification import binary_auroc

        return float(binary_auroc(*_both(linked, unlinked)))


class AveragePrecision(_Ranked):
    """Area under the curve of precision against recall.

    Examples:
        metrics: {average-precision: link-average-precision}
    """

    def _measured(self, linked: Tensor, unlinked: Tensor) -> float:
        from torchmetrics.functional.classification import binary_average_precision

        return float(binary_average_precision(*_both(linked, unlinked)))


class MRR(_Ranked):
    """Mean of 1 / rank of each linked pair among all pairs that are not linked.

    Ties count as half above (the mean of the best and the worst rank).

    Examples:
        metrics: {mrr: link-mrr}
    """

    def _measured(self, linked: Tensor, unlinked: Tensor) -> float:
        return float((1 / ranks(linked, unlinked)).mean())


class HitsAt10(_Ranked):
    """Share of the linked pairs that score higher than the tenth best of the others (arXiv:2005.00687, Sec. 5).

    Examples:
        metrics: {hits-10: link-hits-10}
    """

    def _measured(self, linked: Tensor, unlinked: Tensor) -> float:
        if len(unlinked) < 10:
            return 1.0
        return float((linked > unlinked.topk(10).values[-1]).double().mean())


def ranks(linked: Float[Tensor, "links"], unlinked: Float[Tensor, "others"]) -> Float[Tensor, "links"]:
    """Returns the rank of each linked pair among the others, from 1; of tied pairs, half are above it."""
    ordered = unlinked.sort().values
    above = len(ordered) - torch.searchsorted(ordered, linked, right=True)
    tied = torch.searchsorted(ordered, linked, right=True) - torch.searchsorted(ordered, linked)
    return 1 + above.double() + tied.double() / 2


def _both(linked: Tensor, unlinked: Tensor) -> tuple[Tensor, Tensor]:
    scores = torch.cat([linked, unlinked])
    targets = torch.cat([torch.ones(len(linked)), torch.zeros(len(unlinked))]).long()
    # torchmetrics squashes scores outside of [0, 1] by a sigmoid, which ties large ones: their places keep the order
    _, place = scores.unique(return_inverse=True)
    return place.double() / max(1, int(place.max())), targets
