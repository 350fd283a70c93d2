"""A wired network cell by cell and step by step, as its equations are: what `graph-rnn` is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from rk_sparse_rnn.layer import GATES, Cell, GraphRNN
from rk_sparse_rnn.wiring import layers


@dataclass
class OneCell:
    """A recurrent cell with masked weights.

    Attributes:
        source: The layer that it reads; -1: the input.
        target: The layer that it is a part of.
        weight_ih: Input to gates.
        mask_ih: 1 where an edge is.
        weight_hh: State to gates, without a mask.
        bias_ih: Of the former.
        bias_hh: Of the latter.
    """

    source: int
    target: int
    weight_ih: Tensor
    mask_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor


def cells(layer: GraphRNN) -> list[OneCell]:
    """Returns the cells of a network, with the weights of each edge put into place one by one."""
    edges = [(int(u), int(v)) for u, v in layer.edges.T]
    nodes, gates = 1 + max(v for _, v in edges), GATES[layer.cell]
    level_of = layers(nodes, edges)
    members = [[v for v in range(nodes) if level_of[v] == number] for number in range(max(level_of) + 1)]
    found, square, bias = [], 0, 0
    for target, inside in enumerate(members):
        n = len(inside)
        sources = sorted({level_of[u] for u, v in edges if level_of[v] == target}, reverse=True) or [-1]
        for source in sources:
            if source < 0:
                weight_ih: Tensor = layer.weight_ih_input
                mask_ih = torch.ones_like(weight_ih)
            else:
                weight_ih = torch.zeros(gates * n, len(members[source]), dtype=layer.weight_ih.dtype)
                mask_ih = torch.zeros_like(weight_ih)
                for number, (u, v) in enumerate(edges):
                    if level_of[u] == source and level_of[v] == target:
                        for gate in range(gates):
                            row, column = gate * n + inside.index(v), members[source].index(u)
                            weight_ih[row, column] = layer.weight_ih[gate, number]
                            mask_ih[row, column] = 1
            weight_hh = layer.weight_hh[:, square : square + n * n].reshape(gates * n, n)
            biases = [b[:, bias : bias + n].flatten() for b in (layer.bias_ih, layer.bias_hh)]
            found.append(OneCell(source, target, weight_ih, mask_ih, weight_hh, *biases))
            square, bias = square + n * n, bias + n
    return found


def unroll(layer: GraphRNN, x: Float[Tensor, "b t d"], parts: list[OneCell]) -> Float[Tensor, "b t d"]:
    """Returns what `layer(x)` does, with one product of weights and mask in each step of each cell."""
    last_level = max(part.target for part in parts)
    states = [(x.new_zeros(len(x), part.weight_hh.shape[1]),) * 2 for part in parts]
    answers = []
    for x_t in x.unbind(1):
        given = {-1: x_t}
        for number, part in enumerate(parts):
            i = F.linear(given[part.source], part.weight_ih * part.mask_ih, part.bias_ih)
            h = F.linear(states[number][0], part.weight_hh, part.bias_hh)
            states[number] = _step(layer.cell, i, h, states[number])
            given[part.target] = given.get(part.target, 0) + states[number][0]
        answers.append(F.linear(given[last_level], layer.out_weight, layer.out_bias))
    return torch.stack(answers, 1)


def _step(cell: Cell, i: Tensor, h: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Returns h_t and c_t of a cell from what its input and its state add to the gates."""
    before, memory = state
    if cell == "gru":
        i_r, i_z, i_n = i.chunk(3, 1)
        h_r, h_z, h_n = h.chunk(3, 1)
        r, z = (i_r + h_r).sigmoid(), (i_z + h_z).sigmoid()
        n = (i_n + r * h_n).tanh()
        return n + z * (before - n), memory
    if cell == "lstm":
        i_t, f_t, g_t, o_t = (i + h).chunk(4, 1)
        memory = f_t.sigmoid() * memory + i_t.sigmoid() * g_t.tanh()
        return o_t.sigmoid() * memory.tanh(), memory
    after = (i + h).tanh() if cell == "tanh" else (i + h).relu()
    return after, memory
