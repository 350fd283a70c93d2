"""HiPPO matrices: states that remember the past of a signal as coefficients of orthogonal polynomials."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Measure = Literal["legs", "legt", "lagt", "random"]
"""What of the past is remembered, and how well; see `hippo`."""

# n order of the state


def hippo(
    measure: Measure, order: int, generator: torch.Generator | None = None
) -> tuple[Float[Tensor, "n n"], Float[Tensor, "n"]]:
    """Returns the matrices A and B of ``x' = A x + B u`` (Gu et al. 2020, arXiv:2008.07669, Thm. 1 and 2, App. D).

    ``legs`` (scaled Legendre) remembers all of the past, ``legt`` (translated Legendre) a window of length 1, ``lagt``
    (translated Laguerre) more the nearer. ``random``, the control, is normal with deviation 1 / n, and B with 1.

    Args:
        measure: Which matrices.
        order: n, the numbers of a state.
        generator: Draws the random ones.

    Returns:
        A and B in 64 bits.

    Examples:
        >>> A, B = hippo("legs", 3)
        >>> A.diagonal().tolist(), bool((A.triu(1) == 0).all())
        ([-1.0, -2.0, -3.0], True)
    """
    q = torch.arange(order, dtype=torch.float64)
    if measure == "random":
        a = torch.randn(order, order, generator=generator, dtype=torch.float64) / order
        return a, torch.randn(order, generator=generator, dtype=torch.float64)
    if measure == "lagt":
        return torch.eye(order, dtype=torch.float64) / 2 - torch.ones(order, order).double().tril(), torch.ones_like(q)
    p = (2 * q + 1).sqrt()
    outer = p.unsqueeze(1) * p
    if measure == "legs":
        return -outer.tril(-1) - (q + 1).diag(), p
    sign = (-1) ** (q.unsqueeze(1) - q).abs()
    return -outer * torch.where(q.unsqueeze(1) >= q, 1.0, sign), p


Structure = dict[str, Tensor]
"""The 7 n numbers of a trainable A and B; see `assemble`."""


def structure(measure: Literal["legs", "legt"], order: int) -> Structure:
    """Returns the numbers with which `assemble` gives a HiPPO matrix (arXiv:2110.13985, Sec. 4 and App. E).

    Args:
        measure: ``legs``, or ``legt``: of the latter the diagonal of T has a little noise in the authors' code, without
            which T is singular for an odd order.
        order: n.
    """
    q = torch.arange(order, dtype=torch.float64)
    p, one = (2 * q + 1).sqrt(), torch.ones_like(q)
    if measure == "legs":
        inner = {"lower": -one[1:], "diagonal": one, "upper": 0 * one[1:], "c": -q / (2 * q + 1)}
    else:
        ends = torch.zeros_like(q)
        ends[0] += 0.5
        ends[-1] += 0.5
        inner = {"lower": -one[1:] / 2, "diagonal": ends, "upper": one[1:] / 2, "c": 0 * q}
    return {**inner, "left": p, "right": p, "b": one}


def assemble(s: Structure) -> tuple[Float[Tensor, "*h n n"], Float[Tensor, "*h n"]]:
    """Returns ``A = -L (T^-1 + diag(c)) R`` and ``B = L b``, of a tridiagonal T and diagonal L, R (Sec. 4, Def. 4).

    Args:
        s: ``lower``, ``diagonal`` and ``upper`` of T, ``left``, ``right``, ``c`` and ``b``; each may have further
            dimensions before the last, one matrix for each.
    """
    t = s["diagonal"].diag_embed() + s["lower"].diag_embed(-1) + s["upper"].diag_embed(1)
    inner = torch.linalg.inv(t) + s["c"].diag_embed()
    return -s["left"].unsqueeze(-1) * inner * s["right"].unsqueeze(-2), s["left"] * s["b"]
