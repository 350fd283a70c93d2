"""Metrics of `delaunay`: the paper's two numbers, and whether the answer triangulates at all.

An answer is read three numbers at a time up to END; one or two left over do not count. Triangles are compared as
sets of sets: neither their order nor that of the numbers inside counts.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk_pointer_net.triangulations import are_triangulations


class Verdict(NamedTuple):
    """The properties of a batch of answers."""

    exact: Bool[Tensor, "batch"]
    """It has all triangles of the target, each once, and no other."""
    valid: Bool[Tensor, "batch"]
    """It ended, and is some triangulation of the points."""
    found: Int[Tensor, "batch"]
    """Triangles of the target that the answer names."""
    wanted: Int[Tensor, "batch"]
    """Triangles of the target."""


@lru_cache(maxsize=1)  # the metrics of one batch ask one after the other; tensors are compared by identity
def judge(
    points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
) -> Verdict:
    """Compares answers with true triangulations; both are point numbers from 1 and end with the first below 1."""
    points, targets, pointers = (tensor.detach().cpu() for tensor in (points, targets, pointers))
    true, _ = whole_triangles(targets)
    answered, whole = whole_triangles(pointers)
    n = points.shape[1]
    true_codes, codes = (_codes(triangles, n) for triangles in (true, answered))
    is_found = (true_codes.unsqueeze(2) == codes.unsqueeze(1)).any(2) & (true_codes > 0)
    found, wanted, named = is_found.sum(1), (true_codes > 0).sum(1), (codes > 0).sum(1)
    ended = (pointers == 0).any(1) & whole
    exact = ended & (found == wanted) & (named == wanted)
    valid = ended & are_triangulations(points, answered)
    return Verdict(exact, valid, found, wanted)


def whole_triangles(numbers: Int[Tensor, "batch k"]) -> tuple[Int[Tensor, "batch l"], Bool[Tensor, "batch"]]:
    """Returns the triangles before the first number below 1, padded with 0, and whether nothing is left over."""
    numbers = F.pad(numbers, (0, -numbers.shape[1] % 3))
    counts = (numbers > 0).long().cumprod(1).sum(1)
    place = torch.arange(numbers.shape[1], device=numbers.device)
    return numbers.masked_fill(place >= (counts - counts % 3).unsqueeze(1), 0), counts % 3 == 0


def _codes(triangles: Int[Tensor, "batch l"], n: int) -> Int[Tensor, "batch t"]:
    """Returns one number for each triangle, whatever the order of its corners; 0 for padding."""
    a, b, c = triangles.unflatten(1, (-1, 3)).sort(2).values.unbind(2)
    return (a * (n + 1) + b) * (n + 1) + c


def triangle_accuracy(
    *, points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
) -> tuple[Tensor, int]:
    """Share of answers that are the triangulation: its triangles, each once, in any order, and END."""
    exact = judge(points, targets, pointers).exact
    return exact.sum(), len(exact)


def triangle_coverage(
    *, points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
) -> tuple[Tensor, Tensor]:
    """Share of all true triangles that the answers name, whatever else they name."""
    verdict = judge(points, targets, pointers)
    return verdict.found.sum(), verdict.wanted.sum()


def triangulation_rate(
    *, points: Float[Tensor, "batch n 2"], targets: Int[Tensor, "batch k"], pointers: Int[Tensor, "batch m"]
) -> tuple[Tensor, int]:
    """Share of answers that ended and are a triangulation of the points, be it Delaunay's or another."""
    valid = judge(points, targets, pointers).valid
    return valid.sum(), len(valid)
