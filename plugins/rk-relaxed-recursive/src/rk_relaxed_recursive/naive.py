"""Naive twins: the objective of several exits as the paper writes it, one exit and one position after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor


def naive_multi_exit(
    logits: Sequence[Float[Tensor, "positions classes"]],
    targets: Int[Tensor, "positions"],
    coefficients: Sequence[float],
    self_distill: bool,
) -> Float[Tensor, ""]:
    """Returns ``sum_b alpha_b L_b`` with the mean loss L_b of each exit (arXiv:2410.20672, Table 3).

    Args:
        logits: Of each exit, the whole model's last.
        targets: The class of each position.
        coefficients: alpha_b.
        self_distill: Whether L_b of the exits before the last is KL(p | q_b) from the last one's probabilities p, which
            are a constant; else, and of the last, it is the cross-entropy of the targets.
    """
    total = targets.new_zeros((), dtype=logits[0].dtype)
    constant = torch.softmax(logits[-1], -1).detach()
    for b, alpha in enumerate(coefficients):
        losses = []
        for position, target in enumerate(targets.tolist()):
            q = torch.softmax(logits[b][position], -1)
            if self_distill and b < len(coefficients) - 1:
                p = constant[position]
                losses.append((p * (torch.log(p) - torch.log(q))).sum())
            else:
                losses.append(-torch.log(q[target]))
        total = total + alpha * torch.stack(losses).mean()
    return total


def naive_oracle(logits: Sequence[Float[Tensor, "positions classes"]]) -> list[int]:
    """Returns the first exit of each position whose likeliest class is that of the last exit."""
    found = []
    for position in range(len(logits[0])):
        final = int(logits[-1][position].argmax())
        found.append(next(b for b, one in enumerate(logits) if int(one[position].argmax()) == final))
    return found


def concatenated_low_rank(
    x: Float[Tensor, "rows time in_features"],
    loops: Int[Tensor, "rows"],
    parts: Sequence[tuple[Float[Tensor, "rank in_features"], Float[Tensor, "out_features rank"]]],
) -> Float[Tensor, "rows time out_features"]:
    """Returns ``B_b A_b x`` of each row at its loop b as the authors do: all loops as one matrix, masked.

    Every row is multiplied with the matrices of all loops, of which one counts: the work grows with the loops.
    """
    rank = len(parts[0][0])
    low = x @ torch.cat([a for a, _ in parts]).T
    own = torch.arange(low.shape[-1], device=x.device) // rank == loops.view(-1, 1, 1)
    return (low * own) @ torch.cat([b for _, b in parts], 1).T
