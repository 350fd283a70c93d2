"""Where the weights of a wired network are in the matrices that fused kernels take."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from rk_sparse_rnn.wiring import Edges, layers


@dataclass(frozen=True)
class Level:
    """One layer of nodes: all of its cells are one recurrence, block by block.

    Attributes:
        width: Nodes.
        sources: The layer that each cell reads: the one before, then those of the skip cells. Empty for the first.
        inputs: Width of what all of the sources give together; 0 for the first.
        edges: Edges that lead here.
    """

    width: int
    sources: tuple[int, ...]
    inputs: int
    edges: int

    @property
    def cells(self) -> int:
        """How many cells: the main one and the skip cells."""
        return max(1, len(self.sources))

    @property
    def units(self) -> int:
        """Units of all cells."""
        return self.cells * self.width


@dataclass(frozen=True)
class Plan:
    """The levels of a graph, and the places of its weights.

    Attributes:
        levels: In order.
        edges: All edges, in the order of their weights: by the layer that they lead to, then by the cell.
        ih: Place of the weight of each gate and edge in the matrices of all levels behind the first, one after another.
        hh: The same for weights from state to state, cell by cell.
    """

    levels: tuple[Level, ...]
    edges: Edges
    ih: Int[Tensor, "gates edges"]
    hh: Int[Tensor, "gates squares"]


def plan(nodes: int, edges: Edges, gates: int) -> Plan:
    """Returns the plan of a directed graph.

    Args:
        nodes: Nodes.
        edges: From the smaller number to the larger.
        gates: Blocks of rows in the weights of a cell.
    """
    level_of = layers(nodes, edges)
    members = [[v for v in range(nodes) if level_of[v] == number] for number in range(max(level_of) + 1)]
    place = {v: i for inside in members for i, v in enumerate(inside)}
    pairs = sorted({(level_of[v], -level_of[u]) for u, v in edges})  # the layer before comes first
    levels, ordered, ih, hh = [], [], [], []
    ih_base = hh_base = 0
    for number, inside in enumerate(members):
        sources = tuple(-source for target, source in pairs if target == number)
        inputs = sum(len(members[source]) for source in sources)
        level = Level(len(inside), sources, inputs, sum(level_of[v] == number for _, v in edges))
        levels.append(level)
        rows = level.units  # of one gate
        column = 0
        for cell, source in enumerate(sources):
            between = sorted((u, v) for u, v in edges if level_of[u] == source and level_of[v] == number)
            ordered += between
            for u, v in between:
                row = cell * level.width + place[v] + torch.arange(gates) * rows
                ih.append(ih_base + row * inputs + column + place[u])
            column += len(members[source])
        for cell in range(level.cells):
            at = cell * level.width + torch.arange(level.width)
            square = (at.unsqueeze(1) * rows + at).flatten()
            hh.append(hh_base + square + torch.arange(gates).unsqueeze(1) * rows * rows)
        ih_base += gates * rows * inputs
        hh_base += gates * rows * rows
    stacked = torch.stack(ih, 1) if ih else torch.zeros(gates, 0, dtype=torch.int64)
    return Plan(tuple(levels), ordered, stacked, torch.cat(hh, 1))
