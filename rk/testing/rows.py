"""Taking examples out of a batch: fields that are stacked, shared by all, plain values, or parts of flat graphs."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from rk.fit.firstbatch import declared_fields
from rk.protocols import Batch
from rk.testing.broken import NotApplicable
from rk.values import Fields, Part

GRAPH_SIZES = "graph_sizes"
"""Field (graphs,) of flat graphs: how many nodes each has."""


class Rows:
    """The examples of the batches of a data class.

    Args:
        data: The data, whose ``batch`` declares the first axis of each field.
    """

    def __init__(self, data: Part) -> None:
        declared = declared_fields(type(data).batch)
        hints = typing.get_type_hints(declared) if declared else {}
        self._first_axis = {
            name: dims.partition(" ")[0] for name, hint in hints.items() if (dims := getattr(hint, "dim_str", ""))
        }

    def size(self, batch: Batch) -> int:
        """Returns the number of examples. Raises `NotApplicable` when it is not known."""
        if GRAPH_SIZES in batch:
            return len(batch[GRAPH_SIZES])
        sizes = [len(v) for n, v in batch.items() if isinstance(v, Tensor) and v.ndim and self._is_stacked(n)]
        if not sizes:
            raise NotApplicable("no field has one entry per example")
        return sizes[0]

    def take(self, batch: Batch, rows: slice) -> Fields:
        """Returns the batch of the examples in `rows`.

        Raises:
            NotApplicable: When a field cannot be divided: its first axis is neither ``batch`` nor part of a graph.
        """
        size = self.size(batch)
        if GRAPH_SIZES in batch:
            return self._graphs(batch, rows)
        found: Fields = {}
        for name, value in batch.items():
            if isinstance(value, Tensor) and value.ndim and self._is_stacked(name):
                if len(value) != size:
                    raise NotApplicable(f"the field {name!r} is not one entry per example")
                found[name] = value[rows]
            elif isinstance(value, list | tuple) and len(value) == size:
                found[name] = value[rows]  # one plain value per example
            else:
                found[name] = value
        return found

    def each(self, batch: Batch) -> Iterator[Fields]:
        """Yields each example of `batch` as a batch of one."""
        for i in range(self.size(batch)):
            yield self.take(batch, slice(i, i + 1))

    def _is_stacked(self, name: str) -> bool:
        """Whether a field has one entry per example; of one that declares no axes, it is taken for granted."""
        return self._first_axis.get(name, "batch") == "batch"

    def _graphs(self, batch: Batch, rows: slice) -> Fields:
        """Takes whole graphs out of a flat batch: their nodes, and the edges between them, renumbered."""
        ends = batch[GRAPH_SIZES].cumsum(0)
        start, stop, _ = rows.indices(len(ends))
        first = int(ends[start - 1]) if start else 0
        nodes = slice(first, int(ends[stop - 1]))
        edges = None
        if "edge_index" in batch:
            source = batch["edge_index"][0]
            edges = (source >= nodes.start) & (source < nodes.stop)
        found = {}
        for name, value in batch.items():
            axis = self._first_axis.get(name, "")
            if name == "edge_index":
                found[name] = value[:, edges] - first
            elif name == "graph_index":
                found[name] = value[nodes] - start
            elif not isinstance(value, Tensor):
                found[name] = value[rows] if isinstance(value, list | tuple) and len(value) == len(ends) else value
            elif axis in ("graphs", "batch"):
                found[name] = value[rows]
            elif axis == "nodes":
                found[name] = value[nodes]
            elif axis == "edges" and edges is not None:
                found[name] = value[edges]
            else:
                raise NotApplicable(f"the field {name!r} has the first axis {axis!r}: not nodes, edges or graphs")
        return found


def same(found: object, expected: object) -> bool:
    """Whether two values are equal to the last bit, NaN and nested containers included."""
    if isinstance(expected, Tensor):
        if not isinstance(found, Tensor) or found.shape != expected.shape or found.dtype != expected.dtype:
            return False
        if expected.is_floating_point() or expected.is_complex():
            equal = (found == expected) | (found.isnan() & expected.isnan())
            return bool(equal.all())
        return torch.equal(found, expected)
    if isinstance(expected, Mapping):
        return (
            isinstance(found, Mapping)
            and found.keys() == expected.keys()
            and all(same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list | tuple):
        return type(found) is type(expected) and len(found) == len(expected) and all(map(same, found, expected))
    if hasattr(expected, "__array__"):
        return same(torch.as_tensor(found), torch.as_tensor(expected))
    if isinstance(expected, float) and expected != expected:
        return isinstance(found, float) and found != found
    return bool(found == expected)
