"""The Reber grammar as a table, and walks through it for a whole batch at once.

An edge is written ``state -symbol-> state``; of the two that leave a state, both are equally likely (Reber, 1967):

    0 -B-> 1    1 -T-> 2    2 -S-> 2    3 -T-> 3    4 -X-> 3    5 -P-> 4    6 -E-> end
                1 -P-> 3    2 -X-> 4    3 -V-> 5    4 -S-> 6    5 -V-> 6
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

SYMBOLS = "BEPSTVX"
"""Token i is the i-th symbol."""
EDGES = (
    (0, "B", 1), (1, "T", 2), (1, "P", 3), (2, "S", 2), (2, "X", 4), (3, "T", 3), (3, "V", 5), (4, "X", 3),
    (4, "S", 6), (5, "P", 4), (5, "V", 6), (6, "E", 7),
)  # fmt: skip
"""From, symbol, to."""
START, END, DEAD = 0, 7, 8
"""The first state, the one after the last symbol, and the one that no symbol leads out of."""
SHORTEST = 5

LABELS = torch.tensor([SYMBOLS.index(symbol) for _, symbol, _ in EDGES])
"""The symbol of each edge."""
_TARGETS = torch.tensor([target for _, _, target in EDGES])
_LEAVING = [[e for e, edge in enumerate(EDGES) if edge[0] == state] for state in range(END)]
_CHOICES = torch.tensor([(edges * 2)[:2] for edges in _LEAVING])
"""The two edges that leave each state; the same one twice where there is only one."""
_NEXT = torch.full((DEAD + 1, len(SYMBOLS)), DEAD)
for _source, _symbol, _target in EDGES:
    _NEXT[_source, SYMBOLS.index(_symbol)] = _target


def walks(rows: int, shortest: int, longest: int, random: torch.Generator) -> Int[Tensor, "rows time"]:
    """Returns the edges of `rows` random walks of `shortest` to `longest` symbols; -1 follows the last one."""
    found: list[Tensor] = []
    while sum(map(len, found)) < rows:
        edges = _attempts(max(rows, 256), longest, random)
        length = (edges >= 0).sum(1)
        ended = edges[torch.arange(len(edges)), length - 1] == len(EDGES) - 1
        found.append(edges[ended & (length >= shortest)])
    chosen = torch.cat(found)[:rows]
    return chosen[:, : int((chosen >= 0).sum(1).max())]


def _attempts(rows: int, longest: int, random: torch.Generator) -> Int[Tensor, "rows longest"]:
    """Returns the edges of walks that are cut off after `longest`."""
    chances = torch.randint(2, (rows, longest), generator=random)
    state = torch.zeros(rows, dtype=torch.int64)
    edges = torch.full((rows, longest), -1)
    for t in range(longest):
        walking = state < END
        if not walking.any():
            break
        edge = _CHOICES[state.clamp(max=END - 1), chances[:, t]]
        edges[:, t] = torch.where(walking, edge, -1)
        state = torch.where(walking, _TARGETS[edge], state)
    return edges


def states_after(tokens: Int[Tensor, "rows time"]) -> Int[Tensor, "rows time"]:
    """Returns the state after each symbol; `DEAD` from the first one on that the grammar does not allow.

    A token that is no symbol, padding, leaves the state as it is.
    """
    state = torch.full((len(tokens),), START)
    given = []
    for token in tokens.unbind(1):
        known = (token >= 0) & (token < len(SYMBOLS))
        state = torch.where(known, _NEXT[state, token.clamp(0, len(SYMBOLS) - 1)], state)
        given.append(state)
    return torch.stack(given, 1)


def legal_after(states: Int[Tensor, "*shape"]) -> Bool[Tensor, "*shape symbols"]:
    """Returns which symbols may come next."""
    return _NEXT[states] != DEAD
