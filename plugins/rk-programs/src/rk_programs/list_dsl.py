"""Layer `list-dsl`: programs over lists of integers."""

from __future__ import annotations

import numpy as np

from rk_programs.dsl import Language
from rk_programs.primitives import Primitive
from rk_programs.types import BOUND, INT, LIST, UNDEFINED, Rows


class ListDsl(Language):
    """The language of lists of the Neural-Symbolic Recursive Machine (arXiv:2210.01603, App. B).

    Types: `int`, `list`. Functions: `empty`, `0`, `incr`, `*10`, `car`, `cdr`, `singleton`, `cons`, `++` and `reverse`.
    An integer in a term is itself: ``7`` is short for ``(incr (incr ... 0))``.

    Examples:
        model: {name: nsr, dsl: {name: list-dsl}}

        >>> language = ListDsl()
        >>> language(language.parse("(++ (cdr x0) (singleton (car x0)))", ["list"]), [(1, 2, 3)])
        (2, 3, 1)
    """

    def __init__(self) -> None:
        super().__init__((INT, LIST), PRIMITIVES)


def _increased(x: Rows, capacity: int) -> Rows:
    return np.where((x == UNDEFINED) | (x >= BOUND), UNDEFINED, x + 1)


def _times_ten(x: Rows, capacity: int) -> Rows:
    return np.where((x == UNDEFINED) | (np.abs(x) > BOUND // 10), UNDEFINED, x * 10)


def _first(x: Rows, capacity: int) -> Rows:
    return np.where(x[..., :1] > 0, x[..., 1:2], UNDEFINED) if capacity else np.full_like(x[..., :1], UNDEFINED)


def _rest(x: Rows, capacity: int) -> Rows:
    out = np.zeros_like(x)
    out[..., 0] = x[..., 0] - 1
    out[..., 1:-1] = x[..., 2:]
    return _undefined_where(out, x[..., 0] < 1)


def _alone(x: Rows, capacity: int) -> Rows:
    out = np.zeros((*x.shape[:-1], 1 + capacity), dtype=np.int32)
    if not capacity:
        return _undefined_where(out, np.ones(out.shape[:-1], dtype=bool))
    out[..., 0], out[..., 1] = 1, x[..., 0]
    return _undefined_where(out, x[..., 0] == UNDEFINED)


def _before(x: Rows, rest: Rows, capacity: int) -> Rows:
    out = np.zeros_like(rest)
    out[..., 0] = rest[..., 0] + 1
    if capacity:
        out[..., 1] = x[..., 0]
        out[..., 2:] = rest[..., 1:-1]
    return _undefined_where(out, (x[..., 0] == UNDEFINED) | (rest[..., 0] < 0) | (rest[..., 0] >= capacity))


def _joined(x: Rows, y: Rows, capacity: int) -> Rows:
    out = x.copy()
    first, second = x[..., 0], y[..., 0]
    wrong = (first < 0) | (second < 0) | (first + np.maximum(second, 0) > capacity)
    out[..., 0] = np.where(wrong, 0, first + second)
    for length in np.unique(first[~wrong]):  # lists of one length are shifted together: slices, no gathers
        at = (first == length) & ~wrong
        block = out[at]
        block[:, 1 + length :] = y[at][:, 1 : 1 + capacity - length]
        out[at] = block
    return _undefined_where(out, wrong)


def _reversed(x: Rows, capacity: int) -> Rows:
    out = x.copy()
    for length in np.unique(x[..., 0]):
        if length > 1:
            at = x[..., 0] == length
            block = out[at]
            block[:, 1 : 1 + length] = block[:, length:0:-1]
            out[at] = block
    return out


def _undefined_where(rows: Rows, wrong: np.ndarray) -> Rows:
    """Returns `rows`, changed in place to the row of an undefined value where `wrong`, of (...,), is True."""
    rows[wrong] = 0
    rows[..., 0][wrong] = UNDEFINED
    return rows


PRIMITIVES = (
    Primitive("empty", (), "list", lambda: (), lambda capacity: np.zeros((1, 1, 1 + capacity), dtype=np.int32)),
    Primitive("0", (), "int", lambda: 0, lambda capacity: np.zeros((1, 1, 1), dtype=np.int32)),
    Primitive("incr", ("int",), "int", lambda x: x + 1, _increased),
    Primitive("*10", ("int",), "int", lambda x: x * 10, _times_ten),
    Primitive("car", ("list",), "int", lambda x: x[0] if x else None, _first),
    Primitive("cdr", ("list",), "list", lambda x: x[1:] if x else None, _rest),
    Primitive("singleton", ("int",), "list", lambda x: (x,), _alone),
    Primitive("cons", ("int", "list"), "list", lambda x, rest: (x, *rest), _before),
    Primitive("++", ("list", "list"), "list", lambda x, y: x + y, _joined),
    Primitive("reverse", ("list",), "list", lambda x: x[::-1], _reversed),
)
