"""What a linear state-space layer computes: steps in place of a differential equation, kernels, convolutions."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

# h features, n order of the state, m channels, t time, b batch

Method = Literal["bilinear", "backward", "forward", "zoh"]
"""How time becomes steps; see `discretize`."""


def discretize(
    a: Float[Tensor, "*h n n"], b: Float[Tensor, "*h n"], dt: Float[Tensor, "*h"], method: Method = "bilinear"
) -> tuple[Float[Tensor, "*h n n"], Float[Tensor, "*h n"]]:
    """Returns the matrices of ``x_t = Ab x_{t-1} + Bb u_t`` for ``x' = A x + B u`` (arXiv:2110.13985, Eq. 3, Eq. 4).

    ``bilinear``, ``backward`` and ``forward`` are the generalised bilinear transform with alpha 1/2, 1 and 0; ``zoh``
    is exact for an input that is constant within a step.

    Args:
        a: A.
        b: B.
        dt: Length of a step.
        method: See above.
    """
    step = dt.unsqueeze(-1).unsqueeze(-1)
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    column = b.unsqueeze(-1).expand(*dt.shape, -1, 1)
    if method == "zoh":  # the matrix exponential of (A B; 0 0) dt has both
        both = torch.nn.functional.pad(
            torch.cat([(a * step).expand(*dt.shape, -1, -1), column * step], -1), (0, 0, 0, 1)
        )
        found = torch.linalg.matrix_exp(both)
        return found[..., :-1, :-1], found[..., :-1, -1]
    alpha = {"bilinear": 0.5, "backward": 1.0, "forward": 0.0}[method]
    right = torch.cat([(eye + (1 - alpha) * step * a).expand(*dt.shape, -1, -1), step * column], -1)
    found = torch.linalg.solve(eye - alpha * step * a, right)
    return found[..., :-1], found[..., -1]


def krylov(length: int, a: Float[Tensor, "*h n n"], b: Float[Tensor, "*h n"]) -> Float[Tensor, "*h n t"]:
    """Returns ``[b, A b, ..., A^(t-1) b]`` by doubling: some log2(t) products of matrices (App. F).

    Args:
        length: t, from 1.
        a: A.
        b: The first column.
    """
    found = b.unsqueeze(-1)
    while found.shape[-1] < length:
        more = length - found.shape[-1]
        found = torch.cat([found, a @ found[..., :more]], -1)
        if found.shape[-1] < length:
            a = a @ a
    return found


def causal_convolution(kernel: Float[Tensor, "h m t"], u: Float[Tensor, "b h t"]) -> Float[Tensor, "b h m t"]:
    """Returns ``y_t = sum_{s <= t} K_s u_{t-s}`` of each feature and channel, by FFT in O(t log t) (Eq. 7).

    Args:
        kernel: K, at least as long as u.
        u: The inputs.
    """
    t = u.shape[-1]
    size = fast_length(2 * t - 1)
    spectrum = torch.fft.rfft(kernel[..., :t], n=size) * torch.fft.rfft(u, n=size).unsqueeze(2)
    return torch.fft.irfft(spectrum, n=size)[..., :t]


def fast_length(least: int) -> int:
    """Returns the smallest product of powers of 2, 3 and 5 that is not less: transforms of such lengths are fast."""
    best = 1 << max(least - 1, 0).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = 1 << max(-(-least // three) - 1, 0).bit_length()
            best = min(best, two * three)
            three *= 3
        five *= 5
    return best


def recur(
    a: Float[Tensor, "h n n"], b: Float[Tensor, "h n"], u: Float[Tensor, "b h t"], state: Float[Tensor, "b h n"]
) -> tuple[Float[Tensor, "b h t n"], Float[Tensor, "b h n"]]:
    """Returns all states of ``x_t = Ab x_{t-1} + Bb u_t``, step by step, and the last: the definition (Eq. 3)."""
    states = []
    for t in range(u.shape[-1]):
        state = torch.einsum("hij,bhj->bhi", a, state) + b * u[..., t, None]
        states.append(state)
    return torch.stack(states, 2), state


def power_times(
    a: Float[Tensor, "h n n"], state: Float[Tensor, "b h n"], count: Int[Tensor, "b"], largest: int
) -> Float[Tensor, "b h n"]:
    """Returns ``A^count x`` of each row, by squaring A some log2(largest) times.

    Args:
        a: A.
        state: x.
        count: Of each row, from 0 to `largest`.
        largest: See above.
    """
    for bit in range(largest.bit_length()):
        moved = torch.einsum("hij,bhj->bhi", a, state)
        state = torch.where((count >> bit & 1).bool().view(-1, 1, 1), moved, state)
        a = a @ a
    return state
