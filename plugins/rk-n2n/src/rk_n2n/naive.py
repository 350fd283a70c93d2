"""Naive twins of the divergences: sums over the classes of one position after the other, of probabilities."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def naive_divergence(
    kind: str,
    given: Float[Tensor, "positions classes"],
    wanted: Float[Tensor, "positions classes"],
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """Returns the sum over positions of a divergence of student's probabilities q from teacher's p."""
    total = given.new_zeros(())
    for student, teacher in zip(given, wanted, strict=True):
        q, p = torch.softmax(student / temperature, 0), torch.softmax(teacher / temperature, 0)
        total = total + _one(kind, q, p) * (temperature if kind == "tvd" else temperature**2)
    return total


def _one(kind: str, q: Float[Tensor, "classes"], p: Float[Tensor, "classes"]) -> Float[Tensor, ""]:
    if kind == "kl":
        return (p * torch.log(p / q)).sum()
    if kind == "reverse-kl":
        return (q * torch.log(q / p)).sum()
    if kind == "tvd":
        return 0.5 * (p - q).abs().sum()
    m = 0.5 * (p + q)
    return 0.5 * (p * torch.log(p / m)).sum() + 0.5 * (q * torch.log(q / m)).sum()
