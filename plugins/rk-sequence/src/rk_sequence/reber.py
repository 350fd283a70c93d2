"""The Reber grammar as a table, and walks through it for a whole batch at once.

An edge is written ``state -symbol-> state``; of the two that leave a state, both are equally likely (Reber, 1967):

    0 -B-> 1    1 -T-> 2    2 -S-> 2    3 -T-> 3    4 -X-> 3    5 -P-> 4    6 -E-> end
                1 -P-> 3    2 -X-> 4    3 -V-> 5    4 -S-> 6    5 -V-> 6
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
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
    """Returns the edges of `rows` random walks of `shortest` to `longest` symbols; -1 follows the last one.

    A walk takes each edge with the probability that it has among all walks of such a length: none is thrown away.
    """
    chance = _chances(shortest, longest)
    draws = torch.rand(rows, longest, generator=random, dtype=torch.float64)
    state = torch.full((rows,), START)
    taken = []
    for t in range(longest):
        walking = state < END
        if not walking.any():
            break
        one, other = _CHOICES[state.clamp(max=END - 1)].unbind(1)
        weights = chance[t + 1, _TARGETS[one]], chance[t + 1, _TARGETS[other]]
        edge = torch.where(draws[:, t] * (weights[0] + weights[1]) < weights[0], one, other)
        taken.append(torch.where(walking, edge, -1))
        state = torch.where(walking, _TARGETS[edge], state)
    return torch.stack(taken, 1)


def check_lengths(shortest: Iterable[int], longest: int) -> None:
    """Raises `ValueError` when no string has at least so many symbols, each of `shortest`, and at most `longest`."""
    for length in shortest:
        if not _chances(length, longest)[0, START] > 0:
            raise ValueError(f"no string of the grammar has {length} to {longest} symbols")


@lru_cache(maxsize=64)
def _chances(shortest: int, longest: int) -> Float[Tensor, "symbols states"]:
    """Returns how likely a walk with so many symbols, in that state, ends with `shortest` to `longest` of them."""
    chance = torch.zeros(longest + 2, END + 1, dtype=torch.float64)
    chance[shortest : longest + 1, END] = 1
    for t in range(longest - 1, -1, -1):
        chance[t, :END] = chance[t + 1, _TARGETS[_CHOICES]].mean(1)
    return chance


def legal_along(edges: Int[Tensor, "rows time"]) -> Bool[Tensor, "rows time symbols"]:
    """Returns which symbols may come after each edge of a walk; none behind its end."""
    return (_NEXT != DEAD)[_TARGETS[edges]] & (edges >= 0).unsqueeze(-1)


def states_after(tokens: Int[Tensor, "rows time"]) -> Int[Tensor, "rows time"]:
    """Returns the state after each symbol; `DEAD` from the first one on that the grammar does not allow.

    A negative token, padding, leaves the state as it is.
    """
    state = torch.full((len(tokens),), START)
    given = []
    for token in tokens.unbind(1):
        after = torch.where(token < len(SYMBOLS), _NEXT[state, token.clamp(0, len(SYMBOLS) - 1)], DEAD)
        state = torch.where(token >= 0, after, state)
        given.append(state)
    return torch.stack(given, 1)
