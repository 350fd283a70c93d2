"""The highest scores, exactly as many as asked for, ties broken by position."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rk import UserError
from rk_sparsity.densities import Distribution, counts
from rk_sparsity.masks import Kept


def highest(scores: Float[Tensor, "n"], k: int) -> Bool[Tensor, "n"]:
    """Returns True at the `k` highest scores; of equal ones, the first are taken.

    Thresholds alone would keep too many where scores are equal, as those of dead units are.
    """
    n = scores.numel()
    if k <= 0 or k >= n:
        return torch.full((n,), k > 0, dtype=torch.bool, device=scores.device)
    least = scores.kthvalue(n - k + 1).values
    kept = scores > least
    equal = (scores == least).nonzero().flatten()
    kept[equal[: k - int(kept.sum())]] = True
    return kept


def keep(scores: Mapping[str, Tensor], density: float, distribution: Distribution, least: int = 0) -> Kept:
    """Returns the masks of the weights with the highest scores.

    Args:
        scores: Name -> score of each weight, of the weight's shape.
        density: Share of all weights that is kept.
        distribution: ``global`` compares the scores of all layers; the others keep a share of each.
        least: With ``global``: how many weights each layer keeps at least, as far as it has them.

    Raises:
        rk.UserError: When a score is not a number.
    """
    for name, score in scores.items():
        if not bool(score.isfinite().all()):
            raise UserError(f"the scores of {name} are not finite", "a lower temperature or learning rate may help")
    if distribution != "global":
        number = counts({n: tuple(s.shape) for n, s in scores.items()}, density, distribution)
        return {n: highest(s.flatten(), number[n]).view_as(s) for n, s in scores.items()}
    flat = {name: score.flatten().double() for name, score in scores.items()}
    if least:
        for name, score in flat.items():
            flat[name] = score.masked_fill(highest(score, min(least, score.numel())), torch.inf)
    total = sum(score.numel() for score in flat.values())
    together = max(round(density * total), sum(min(least, score.numel()) for score in flat.values()))
    kept = highest(torch.cat([*flat.values()]), together)
    parts = kept.split([score.numel() for score in flat.values()])
    return {name: part.view_as(scores[name]) for name, part in zip(flat, parts, strict=True)}
