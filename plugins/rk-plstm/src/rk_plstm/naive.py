"""The recurrences as the paper writes them, node by node, with states of (d, e): twins of `rk_plstm.ops`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from rk_plstm.gates import ORIENTATIONS, GridGates

# b batch (with heads), t time, d width of keys, e width of values, h, w of a grid


def line(
    q: Float[Tensor, "*b t d"],
    k: Float[Tensor, "*b t d"],
    v: Float[Tensor, "*b t e"],
    transition: Float[Tensor, "*b t"],
    source: Float[Tensor, "*b t"],
    mark: Float[Tensor, "*b t"],
    direct: Float[Tensor, "*b t"],
    state: Float[Tensor, "*b d e"],
) -> tuple[Float[Tensor, "*b t e"], Float[Tensor, "*b d e"]]:
    """Returns what `rk_plstm.ops.plstm_1d` does."""
    found = []
    for t in range(q.shape[-2]):
        gate_t, gate_s, gate_m, gate_d = (g[..., t, None, None] for g in (transition, source, mark, direct))
        y, outer = _node(q[..., t, :], k[..., t, :], v[..., t, :], gate_m * state, gate_d)
        found.append(y)
        state = gate_t * state + gate_s * outer
    return torch.stack(found, -2), state


def grid(
    q: Float[Tensor, "*b h w d"],
    k: Float[Tensor, "*b h w d"],
    v: Float[Tensor, "*b h w e"],
    gates: GridGates,
    direct: Float[Tensor, "*b h w"],
) -> Float[Tensor, "*b h w e"]:
    """Returns what `rk_plstm.ops.plstm_2d` does."""
    total = torch.zeros_like(v)
    for number in range(gates.right_right.shape[-3]):
        flips = ORIENTATIONS[number]
        mirrored = GridGates(*(gate[..., number, :, :] for gate in gates)).flipped(flips)
        axes = tuple(axis - 1 for axis in flips)
        own = direct if number == 0 else torch.zeros_like(direct)
        found = _one_grid(q.flip(axes), k.flip(axes), v.flip(axes), mirrored, own)
        total = total + found.flip(axes)
    return total


def _one_grid(q: Tensor, k: Tensor, v: Tensor, gates: GridGates, direct: Tensor) -> Tensor:
    height, width = q.shape[-3:-1]
    nothing = q.new_zeros(*q.shape[:-3], q.shape[-1], v.shape[-1])
    down = [nothing] * width
    rows = []
    for y in range(height):
        right, row = nothing, []
        for x in range(width):
            g = GridGates(*(gate[..., y, x, None, None] for gate in gates))
            entering = g.mark_right * right + g.mark_down * down[x]
            place = (..., y, x, slice(None))
            answer, outer = _node(q[place], k[place], v[place], entering, direct[..., y, x, None, None])
            row.append(answer)
            right, down[x] = (
                g.right_right * right + g.down_right * down[x] + g.source_right * outer,
                g.down_down * down[x] + g.right_down * right + g.source_down * outer,
            )
        rows.append(torch.stack(row, -2))
    return torch.stack(rows, -3)


def dag(
    q: Float[Tensor, "m d"],
    k: Float[Tensor, "m d"],
    v: Float[Tensor, "m e"],
    edges: list[tuple[int, int]],
    order: Iterable[int],
    transition: Float[Tensor, "m"],
    source: Float[Tensor, "m"],
    mark: Float[Tensor, "m"],
    direct: Float[Tensor, "m"],
) -> Float[Tensor, "m e"]:
    """Runs ``C_e = sum T C_e' + S k v^T`` edge by edge; `order` has the start of each edge before its end."""
    states: dict[tuple[int, int], Tensor] = {}
    found = {}
    for node in order:
        entering = q.new_zeros(q.shape[1], v.shape[1])
        for edge in edges:
            if edge[1] == node:
                entering = entering + states[edge]
        y, outer = _node(q[node], k[node], v[node], mark[node] * entering, direct[node])
        found[node] = y
        for edge in edges:
            if edge[0] == node:
                states[edge] = transition[node] * entering + source[node] * outer
    return torch.stack([found[node] for node in range(len(q))])


def _node(q: Tensor, k: Tensor, v: Tensor, entering: Tensor, direct: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the answer of a node to the marked states that enter it, and its own ``k v^T``."""
    outer = k.unsqueeze(-1) * v.unsqueeze(-2)
    y = (q.unsqueeze(-2) @ (entering + direct * outer)).squeeze(-2)
    return y * q.shape[-1] ** -0.5, outer
