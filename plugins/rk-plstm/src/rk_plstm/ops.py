"""pLSTM on lines, grids and any directed acyclic graph, in parallel; `rk_plstm.naive` has each as its loop."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rk_plstm.gates import GridGates, grid_matrix, line_segment

# b batch (with heads), t time, n chunks, c steps of a chunk, d width of keys, e width of values, h, w of a grid

State = Float[Tensor, "*b d e"]


def gated_attention(
    q: Float[Tensor, "*b m d"], k: Float[Tensor, "*b m d"], v: Float[Tensor, "*b m e"], gate: Float[Tensor, "*#b m m"]
) -> Float[Tensor, "*b m e"]:
    """Returns ``(Q K^T / sqrt(d) * G) V``: what every pLSTM is, given its gate matrix."""
    return (q * q.shape[-1] ** -0.5 @ k.mT * gate) @ v


def plstm_1d(
    q: Float[Tensor, "*b t d"],
    k: Float[Tensor, "*b t d"],
    v: Float[Tensor, "*b t e"],
    transition: Float[Tensor, "*b t"],
    source: Float[Tensor, "*b t"],
    mark: Float[Tensor, "*b t"],
    direct: Float[Tensor, "*b t"],
    state: State,
    *,
    chunk: int = 64,
) -> tuple[Float[Tensor, "*b t e"], State]:
    """Runs ``C_t = T_t C_{t-1} + S_t k_t v_t^T``, ``y_t = (M_t q_t C_{t-1} + D_t (q_t k_t) v_t) / sqrt(d)``.

    Gate matrices within chunks, and states from chunk to chunk: O(log t) rounds, O(t) work.

    Returns:
        The outputs, and the state behind the last step.
    """
    t = q.shape[-2]
    chunk = min(chunk, t)
    if short := -t % chunk:  # steps that change nothing
        q, k, v = (F.pad(part, (0, 0, 0, short)) for part in (q, k, v))
        transition = F.pad(transition, (0, short), value=1.0)
        source, mark, direct = (F.pad(gate, (0, short)) for gate in (source, mark, direct))
    q, k, v = (part.unflatten(-2, (-1, chunk)) for part in (q, k, v))
    gates = (gate.unflatten(-1, (-1, chunk)) for gate in (transition, source, mark, direct))
    whole = line_segment(*gates)
    added = (k.mT * whole.source.squeeze(-3)) @ v
    before, after = carried(whole.transition.squeeze(-3), added, state)
    y = gated_attention(q, k, v, whole.inner.squeeze(-3))
    y = y + whole.mark.squeeze(-3) * (q @ before) * q.shape[-1] ** -0.5
    return y.flatten(-3, -2)[..., :t, :], after


def carried(
    transition: Float[Tensor, "*b n 1 1"], added: Float[Tensor, "*b n d e"], state: State
) -> tuple[Float[Tensor, "*b n d e"], State]:
    """Returns the state before each chunk and that behind the last, of ``C' = T C + X``.

    Pairs of chunks are one chunk of half as many: 2 log2(n) rounds.
    """
    n = added.shape[-3]
    if n == 1:
        return state.unsqueeze(-3), (transition * state.unsqueeze(-3) + added).squeeze(-3)
    even = n - n % 2
    t0, t1 = (transition[..., i:even:2, :, :] for i in range(2))
    x0, x1 = (added[..., i:even:2, :, :] for i in range(2))
    pairs, after = carried(t1 * t0, t1 * x0 + x1, state)
    before = torch.stack([pairs, t0 * pairs + x0], -3).flatten(-4, -3)
    if even < n:
        before = torch.cat([before, after.unsqueeze(-3)], -3)
        after = transition[..., -1, :, :] * after + added[..., -1, :, :]
    return before, after


def plstm_2d(
    q: Float[Tensor, "*b h w d"],
    k: Float[Tensor, "*b h w d"],
    v: Float[Tensor, "*b h w e"],
    gates: GridGates,
    direct: Float[Tensor, "*#b h w"],
) -> Float[Tensor, "*b h w e"]:
    """Runs the recurrences of edges to the right and down, and of the mirrored grids; outputs are their sum.

    R = T_rl R_left + T_ru U_above + S_r k v^T, U = T_du U_above + T_dl R_left + S_d k v^T,
    y = (M_l q R_left + M_u q U_above + D (q k) v) / sqrt(d), where the sum is over orientations. One gate matrix of all
    orientations, and one product of attention.

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        gates: Of (*b, 4, h, w) each, one for each of `rk_plstm.gates.ORIENTATIONS`; a batch of 1 holds for all.
        direct: D, which all orientations share.
    """
    shape = q.shape[-3:-1]
    q, k, v = (part.flatten(-3, -2) for part in (q, k, v))
    return gated_attention(q, k, v, grid_matrix(gates, direct)).unflatten(-2, shape)


def dag_matrix(
    edges: Float[Tensor, "*b m m"],
    transition: Float[Tensor, "*b m"],
    source: Float[Tensor, "*b m"],
    mark: Float[Tensor, "*b m"],
    longest: int,
) -> Float[Tensor, "*b m m"]:
    """Returns G without its diagonal of any directed acyclic graph, of nodes whose gates hold for all their edges.

    ``G = M (I - A T)^-1 A S``; the inverse is ``(I + N) (I + N^2) (I + N^4) ...``: log2 of the longest path in rounds.

    Args:
        edges: A; entry (i, j) is 1 where an edge goes from j to i.
        transition: T of each node, from all that enter to each that leaves.
        source: S of each node.
        mark: M of each node.
        longest: Edges of the longest path, or more.
    """
    power = edges * transition.unsqueeze(-2)
    paths = torch.eye(edges.shape[-1], dtype=power.dtype, device=power.device) + power
    reach = 2
    while reach < longest:
        power = power @ power
        paths = paths + paths @ power
        reach *= 2
    return mark.unsqueeze(-1) * (paths @ edges) * source.unsqueeze(-2)
