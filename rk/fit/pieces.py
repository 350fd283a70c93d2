"""A large batch in pieces of some examples each: so that the outputs of a large file need not be there all at once."""

from __future__ import annotations

import typing
from collections.abc import Iterator

from torch import Tensor

from rk.fit.firstbatch import declared_fields
from rk.protocols import Batch
from rk.values import Part


def divided(data: Part, batch: Batch, most: int | None) -> Iterator[Batch]:
    """Yields the examples of a batch in pieces of `most`; the last one may be smaller.

    A batch is divided when every tensor in it is declared with the first axis ``batch`` and has as many entries as the
    others; plain lists of that length are divided, too, and all else is in each piece. A flat batch of graphs, say, is
    yielded whole.

    Args:
        data: The data, whose ``batch`` declares the axes.
        batch: What it has read.
        most: Examples of a piece; None: the batch is yielded whole.
    """
    size = None if most is None else _size(data, batch)
    if size is None or most is None or size <= most:
        yield batch
        return
    for start in range(0, size, most):
        yield {
            name: value[start : start + most]
            if isinstance(value, Tensor) or (isinstance(value, list | tuple) and len(value) == size)
            else value
            for name, value in batch.items()
        }


def _size(data: Part, batch: Batch) -> int | None:
    """Returns the number of examples of a batch that can be divided; None for any other."""
    declared = declared_fields(type(data).batch)
    hints = typing.get_type_hints(declared) if declared else {}
    sizes = set()
    for name, value in batch.items():
        if not isinstance(value, Tensor):
            continue
        axes = getattr(hints.get(name), "dim_str", "").split()
        if not value.ndim or axes[:1] != ["batch"]:
            return None
        sizes.add(len(value))
    return sizes.pop() if len(sizes) == 1 else None
