"""Layer `peano-dsl`: programs over natural numbers, with recursion."""

from __future__ import annotations

import numpy as np

from rk_programs.dsl import Language
from rk_programs.primitives import Primitive
from rk_programs.types import BOUND, INT, UNDEFINED, Rows


class PeanoDsl(Language):
    """The language of numbers of the Neural-Symbolic Recursive Machine (arXiv:2210.01603, App. B).

    Type: `int`. Functions: `0`, `incr`, `decr0` (one less, and 0 for 0) and ``(if0 a b c)``: b if a is 0, else c. A
    program may call itself as `rec`: what the paper's `fix2` is for.

    Examples:
        model: {name: nsr, dsl: {name: peano-dsl}}

        >>> language = PeanoDsl()
        >>> plus = language.parse("(if0 x1 x0 (incr (rec x0 (decr0 x1))))", ["int", "int"], "int")
        >>> language(plus, [3, 4])
        7
    """

    def __init__(self) -> None:
        super().__init__((INT,), PRIMITIVES)


def _increased(x: Rows, capacity: int) -> Rows:
    return np.where((x == UNDEFINED) | (x >= BOUND), UNDEFINED, x + 1)


def _decreased(x: Rows, capacity: int) -> Rows:
    return np.where(x == UNDEFINED, UNDEFINED, np.maximum(x, 1) - 1)


def _chosen(test: Rows, zero: Rows, other: Rows, capacity: int) -> Rows:
    return np.where(test == UNDEFINED, UNDEFINED, np.where(test == 0, zero, other))


def _choice(test: int | None, zero: int | None, other: int | None) -> int | None:
    return None if test is None else zero if test == 0 else other


PRIMITIVES = (
    Primitive("0", (), "int", lambda: 0, lambda capacity: np.zeros((1, 1, 1), dtype=np.int32)),
    Primitive("incr", ("int",), "int", lambda x: x + 1, _increased),
    Primitive("decr0", ("int",), "int", lambda x: max(x - 1, 0), _decreased),
    Primitive("if0", ("int", "int", "int"), "int", _choice, _chosen, lazy=True),
)
