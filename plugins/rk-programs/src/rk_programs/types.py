"""Types of values, and values of many examples as rows of integers: what the enumeration computes with.

A value of a type is a row of so many integers, one axis: (..., width). Rows are canonical: equal values have equal
rows, and a value that is undefined is one row too. So whole
arrays of values are compared without a look at their types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

UNDEFINED = np.iinfo(np.int32).min
"""First entry of the row of an undefined value."""
BOUND = 1_000_000
"""Integers beyond it are undefined: enumeration meets numbers that no example needs."""

Rows = np.ndarray
"""int32 array of (..., width)."""


class ValueType(Protocol):
    """A type of values: a third party's own type has these members."""

    name: str

    def width(self, capacity: int) -> int:
        """Returns how many integers a value takes, where lists have at most `capacity` entries."""
        ...

    def encode(self, values: Sequence[Any], capacity: int) -> Rows:
        """Returns rows of (values, width); None is undefined, and so is what does not fit."""
        ...

    def decode(self, row: Rows) -> Any:
        """Returns the value of one row of (width,); None when it is undefined."""
        ...

    def length(self, value: Any) -> int:
        """Returns the capacity that a value needs."""
        ...


class IntType:
    """Integers up to `BOUND` in size."""

    name = "int"

    def width(self, capacity: int) -> int:
        return 1

    def encode(self, values: Sequence[Any], capacity: int) -> Rows:
        rows = [UNDEFINED if value is None or abs(value) > BOUND else value for value in values]
        return np.array(rows, dtype=np.int32).reshape(len(values), 1)

    def decode(self, row: Rows) -> int | None:
        return None if row[0] == UNDEFINED else int(row[0])

    def length(self, value: int) -> int:
        return 0


class ListType:
    """Lists of integers, as tuples. A row is the length, the entries, and zeros up to the capacity."""

    name = "list"

    def width(self, capacity: int) -> int:
        return 1 + capacity

    def encode(self, values: Sequence[Any], capacity: int) -> Rows:
        rows = np.zeros((len(values), 1 + capacity), dtype=np.int32)
        for row, value in zip(rows, values, strict=True):
            if value is None or len(value) > capacity:
                row[0] = UNDEFINED
            else:
                row[0], row[1 : 1 + len(value)] = len(value), value
        return rows

    def decode(self, row: Rows) -> tuple[int, ...] | None:
        return None if row[0] == UNDEFINED else tuple(int(entry) for entry in row[1 : 1 + row[0]])

    def length(self, value: Sequence[int]) -> int:
        return len(value)


INT, LIST = IntType(), ListType()
