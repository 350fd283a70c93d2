"""Metrics of a classifier's probabilities: likelihood and calibration."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_calibration_error

from rk.protocols import Share

BINS = 15


class ClassNLL:
    """Mean of -log p(class), in nats.

    Examples:
        metrics: {nll: class-nll}
    """

    higher_is_better = False

    def __call__(self, *, logits: Float[Tensor, "batch classes"], targets: Int[Tensor, "batch"]) -> Share:
        """Returns the sum and the number of examples."""
        return functional.cross_entropy(logits.double(), targets, reduction="sum"), len(targets)


class Confidence:
    """Mean of the highest probability: on classes that were never seen, it should be low.

    Examples:
        metrics: {confidence: confidence}
    """

    higher_is_better = False

    def __call__(self, *, logits: Float[Tensor, "batch classes"]) -> Share:
        """Returns the sum and the number of examples."""
        return logits.double().softmax(-1).amax(-1).sum(), len(logits)


class ExpectedCalibrationError:
    """Mean distance between confidence and accuracy, over 15 bins of confidence (Guo et al. 2017, arXiv:1706.04599).

    Examples:
        metrics: {ece: ece}
    """

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.seen: list[tuple[Tensor, Tensor]] = []

    def update(self, *, logits: Float[Tensor, "batch classes"], targets: Int[Tensor, "batch"]) -> None:
        """Adds a batch."""
        self.seen.append((logits.double().softmax(-1).cpu(), targets.cpu()))

    def merge(self, other: ExpectedCalibrationError) -> None:
        self.seen += other.seen

    def compute(self) -> float:
        """Returns the mean distance; NaN over nothing."""
        if not self.seen:
            return float("nan")
        shares, targets = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
        return float(multiclass_calibration_error(shares, targets, shares.shape[1], n_bins=BINS, norm="l1"))
