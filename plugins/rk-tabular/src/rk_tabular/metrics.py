"""Metrics of tables: classes and numbers, the latter in the units of the file."""

from __future__ import annotations

import math
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from rk.protocols import Share


class LogLoss:
    """Mean of -log p of the true class, in nats.

    Examples:
        metrics: {log-loss: log-loss}
    """

    higher_is_better = False

    def __call__(self, *, logits: Float[Tensor, "batch classes"], targets: Int[Tensor, "batch"]) -> Share:
        """Returns the sum and the number of rows."""
        return functional.cross_entropy(logits.double(), targets, reduction="sum"), targets.numel()


class BalancedAccuracy:
    """Mean over classes of the share of their rows that are answered right; classes without rows do not count.

    Examples:
        metrics: {balanced: balanced-accuracy}
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.hits: Tensor | None = None
        self.rows: Tensor | None = None

    def update(self, *, logits: Float[Tensor, "batch classes"], targets: Int[Tensor, "batch"]) -> None:
        """Adds a batch."""
        rows = torch.bincount(targets, minlength=logits.shape[1]).cpu()
        hits = torch.bincount(targets[logits.argmax(1) == targets], minlength=logits.shape[1]).cpu()
        self.rows = rows if self.rows is None else self.rows + rows
        self.hits = hits if self.hits is None else self.hits + hits

    def merge(self, other: Self) -> None:
        if other.rows is not None and other.hits is not None:
            self.rows = other.rows if self.rows is None else self.rows + other.rows
            self.hits = other.hits if self.hits is None else self.hits + other.hits

    def compute(self) -> float:
        if self.rows is None or self.hits is None:
            return math.nan
        seen = self.rows > 0
        return float((self.hits[seen].double() / self.rows[seen]).mean())


class AreaUnderCurve:
    """Area under the ROC curve (AUC): how often a row of a class scores higher for it than a row of another one does.

    Ties count half. With more than two classes, the mean over classes, each against all others.

    Examples:
        metrics: {auc: auc}

        >>> auc = AreaUnderCurve()
        >>> auc.update(logits=torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]), targets=torch.tensor([0, 1, 1]))
        >>> auc.compute()
        1.0
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.scores: list[Tensor] = []
        self.targets: list[Tensor] = []

    def update(self, *, logits: Float[Tensor, "batch classes"], targets: Int[Tensor, "batch"]) -> None:
        """Adds a batch."""
        self.scores.append(logits.double().log_softmax(1).cpu())
        self.targets.append(targets.cpu())

    def merge(self, other: Self) -> None:
        self.scores += other.scores
        self.targets += other.targets

    def compute(self) -> float:
        """Returns the area; NaN where the rows are all of one class."""
        if not self.scores:
            return math.nan
        scores, targets = torch.cat(self.scores), torch.cat(self.targets)
        if scores.shape[1] == 2:  # the other class has the same area; log p itself would lose what is near 1
            scores = (scores[:, 1] - scores[:, 0]).unsqueeze(1)
            targets = targets - 1
        areas = [_area(scores[:, c], targets == c) for c in range(scores.shape[1])]
        known = [area for area in areas if not math.isnan(area)]
        return sum(known) / len(known) if known else math.nan


def _area(scores: Tensor, positive: Tensor) -> float:
    """Returns the Mann-Whitney statistic over pairs; NaN without pairs."""
    n_positive = int(positive.sum())
    pairs = n_positive * (len(scores) - n_positive)
    if not pairs:
        return math.nan
    _, place, counts = scores.unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0).double() - (counts.double() - 1) / 2)[place]  # ties share the mean of their ranks
    return (float(ranks[positive].sum()) - n_positive * (n_positive + 1) / 2) / pairs


class AbsoluteError:
    """Mean distance of the answer from the target, in the units of the file.

    Examples:
        metrics: {mae: table-mae}
    """

    higher_is_better = False

    def __call__(
        self,
        *,
        values: Float[Tensor, "batch numbers"],
        targets: Float[Tensor, "batch numbers"],
        target_scale: Float[Tensor, "batch"],
    ) -> Share:
        """Returns the sum and the number of rows."""
        return ((values.double() - targets).abs() * target_scale.unsqueeze(1)).sum(), targets.numel()


class RootMeanSquare:
    """Root of the mean squared distance of the answer from the target, in the units of the file.

    Examples:
        metrics: {rmse: table-rmse}
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def update(
        self,
        *,
        values: Float[Tensor, "batch numbers"],
        targets: Float[Tensor, "batch numbers"],
        target_scale: Float[Tensor, "batch"],
    ) -> None:
        """Adds a batch."""
        error = (values.double() - targets) * target_scale.unsqueeze(1)
        self.total, self.count = self.total + float(error.square().sum()), self.count + targets.numel()

    def merge(self, other: Self) -> None:
        self.total, self.count = self.total + other.total, self.count + other.count

    def compute(self) -> float:
        return math.sqrt(self.total / self.count) if self.count else math.nan


class RSquared:
    """Share of the targets' variance that is explained (R2): 1 - squared errors / squared distances from the mean.

    Examples:
        metrics: {r2: r2}
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.errors, self.sum, self.squares, self.count = 0.0, 0.0, 0.0, 0

    def update(self, *, values: Float[Tensor, "batch numbers"], targets: Float[Tensor, "batch numbers"]) -> None:
        """Adds a batch."""
        exact = targets.double()
        self.errors += float((values.double() - exact).square().sum())
        self.sum += float(exact.sum())
        self.squares += float(exact.square().sum())
        self.count += targets.numel()

    def merge(self, other: Self) -> None:
        self.errors, self.sum = self.errors + other.errors, self.sum + other.sum
        self.squares, self.count = self.squares + other.squares, self.count + other.count

    def compute(self) -> float:
        """Returns the share; NaN where all targets are the same."""
        if not self.count:
            return math.nan
        spread = self.squares - self.sum**2 / self.count
        return 1 - self.errors / spread if spread > 1e-12 * max(1.0, self.squares) else math.nan
