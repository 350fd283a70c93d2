"""Metrics of answers at every step; targets of -100 are ignored."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from rk.fields import IGNORED
from rk.protocols import Share


def token_accuracy(*, logits: Float[Tensor, "batch time classes"], targets: Int[Tensor, "batch time"]) -> Share:
    """Share of steps whose most likely class is the target."""
    counts = targets != IGNORED
    return ((logits.argmax(-1) == targets) & counts).sum(), counts.sum()


def sequence_accuracy(*, logits: Float[Tensor, "batch time classes"], targets: Int[Tensor, "batch time"]) -> Share:
    """Share of sequences in which every step is right."""
    return ((logits.argmax(-1) == targets) | (targets == IGNORED)).all(1).sum(), len(targets)


def class_accuracy(*, logits: Float[Tensor, "batch classes"], targets: Int[Tensor, "batch"]) -> Share:
    """Share of sequences whose most likely class is the target."""
    return (logits.argmax(-1) == targets).sum(), len(targets)
