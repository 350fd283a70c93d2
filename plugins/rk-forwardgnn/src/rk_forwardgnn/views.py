"""Views of a batch: the same items with true, wrong or supposed labels, stacked for one call of a block.

A label is given to an item as numbers among its features, or as an edge to the virtual node of its class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk import UserError
from rk.binding import Bound
from rk.fields import IGNORED
from rk.protocols import Batch, Layered
from rk_forwardgnn.mixed import Mixed, Sparse

Labels = Int[Tensor, "views items"]
"""The class that each view gives to each item; `IGNORED` for none."""


@dataclass(frozen=True)
class Views:
    """What the blocks take for several views of a batch.

    Attributes:
        hidden: What the first block takes: one view after the other, in each the items, then the prototypes.
        context: What every block takes besides.
        count: Views.
        items: Items of a view.
        prototypes: Prototypes of a view.
        shared: Whether the items of all views have the hidden state of the first one, from layer to layer.
    """

    hidden: Mixed
    context: tuple[Any, ...]
    count: int
    items: int
    prototypes: int = 0
    shared: bool = False

    def apart(self, hidden: Float[Tensor, "rows *shape"]) -> Float[Tensor, "views rows_of_view width"]:
        """Returns what a block gave, view by view, flat."""
        return hidden.reshape(self.count, self.items + self.prototypes, -1)

    def handed_on(self, hidden: Float[Tensor, "rows *shape"]) -> Mixed:
        """Returns the next block's input, of what a block gave: each row divided by its length."""
        if not self.shared:
            return Mixed(hidden).normalised()
        size = self.items + self.prototypes
        return Mixed(hidden[:size], repeated(size, self.count, hidden)).normalised()


def repeated(size: int, count: int, like: Tensor) -> Sparse:
    """Returns the matrix that repeats a table of `size` rows `count` times."""
    rows = torch.arange(size * count, device=like.device)
    return Sparse(rows, rows % size, like.new_ones(len(rows)), (size * count, size))


def item_field(batch: Batch) -> str:
    """Returns the field that has one row for each item: nodes of a graph, or inputs."""
    return "x" if "edge_index" in batch else "inputs"


def label_views(model: Layered, batch: Batch, labels: Labels, num_classes: int) -> Views:
    """Returns views in which labels are numbers among the features (FF-LA); items without one have 1 / classes in each.

    A model with slots for a label (`label_size`) gets them behind the features. Otherwise labels take the place of the
    first features, as in Hinton's forward-forward algorithm (arXiv:2212.13345, Sec. 3.3).
    """
    x = batch[item_field(batch)]
    appended = bool(getattr(model, "label_size", 0))
    if not appended and x[0].numel() < num_classes:
        raise UserError(
            f"labels of {num_classes} classes take the place of features, but there are only {x[0].numel()}",
            "method: ff-virtual, or a model with slots for a label: gnn-stack with reads: label",
        )
    count, items = labels.shape
    if item_field(batch) == "x":
        rows = _slots(x, labels, num_classes, appended)
    else:
        rows = Mixed(labelled(x.flatten(1), labels, num_classes, appended))
        rows = Mixed(rows.table.view(-1, *x.shape[1:]) if not appended else rows.table)
    return _entered(model, batch, rows, _edges(batch, count, items), Views(rows, (), count, items))


def labelled(
    x: Float[Tensor, "items features"], labels: Labels, num_classes: int, appended: bool
) -> Float[Tensor, "rows width"]:
    """Returns the items of all views with their labels: as `label_views`, row by row."""
    known = labels.flatten() != IGNORED
    slots = F.one_hot(labels.flatten().clamp(min=0), num_classes).to(x)
    slots = torch.where(known.unsqueeze(1), slots, 1 / num_classes)
    rows = x.repeat(len(labels), 1)
    return torch.cat([rows, slots] if appended else [slots, rows[:, num_classes:]], 1)


def _slots(x: Tensor, labels: Labels, num_classes: int, appended: bool) -> Mixed:
    """Returns the rows of `labelled` as sums of an item and slots: the features of an item are there once."""
    count, items = labels.shape
    if appended:
        table = torch.block_diag(x, torch.eye(num_classes, dtype=x.dtype, device=x.device))
    else:
        slots = torch.eye(num_classes, x.shape[1], dtype=x.dtype, device=x.device)
        table = torch.cat([F.pad(x[:, num_classes:], (num_classes, 0)), slots])
    flat, rows = labels.flatten(), torch.arange(count * items, device=x.device)
    known, unknown = rows[flat != IGNORED], rows[flat == IGNORED]
    classes = torch.arange(num_classes, device=x.device)
    mixing = Sparse(
        torch.cat([rows, known, unknown.repeat_interleave(num_classes)]),
        torch.cat([rows % items, items + flat[known], items + classes.repeat(len(unknown))]),
        torch.cat([x.new_ones(len(rows) + len(known)), x.new_full((len(unknown) * num_classes,), 1 / num_classes)]),
        (count * items, len(table)),
    )
    return Mixed(table, mixing)


def prototype_views(
    model: Layered,
    batch: Batch,
    labels: Labels,
    prototypes: Float[Tensor, "classes *shape"],
    both_ways: bool = True,
    shared: bool = False,
) -> Views:
    """Returns views with a prototype of each class among the items (the virtual nodes of FF-VN and SF).

    In a graph, an item with a label has an edge to the prototype of its class, and one from it.

    Args:
        model: The model whose blocks take the views.
        batch: The items.
        labels: Their labels in each view.
        prototypes: Features of the prototype of each class.
        both_ways: Whether there are edges from the prototypes too.
        shared: As in `Views`.
    """
    name = item_field(batch)
    count, items = labels.shape
    table = torch.cat([batch[name], prototypes.to(batch[name])])
    size = len(table)
    rows = Mixed(table, repeated(size, count, table)) if count > 1 else Mixed(table)
    edges = _edges(batch, count, size)
    if edges is not None:
        view, item = (labels != IGNORED).nonzero(as_tuple=True)
        source, target = view * size + item, view * size + items + labels[view, item]
        added = torch.stack([source, target])
        edges = torch.cat([edges, added, added.flip(0)] if both_ways else [edges, added], 1)
    return _entered(model, batch, rows, edges, Views(rows, (), count, items, len(prototypes), shared))


def plain_view(model: Layered, batch: Batch) -> Views:
    """Returns the batch as the only view of itself, without labels (FL)."""
    x = batch[item_field(batch)]
    return _entered(model, batch, Mixed(x), batch.get("edge_index"), Views(Mixed(x), (), 1, len(x)))


def _edges(batch: Batch, count: int, size: int) -> Int[Tensor, "2 edges"] | None:
    """Returns the edges of all views; None where there is no graph."""
    if "edge_index" not in batch:
        return None
    edges: Tensor = batch["edge_index"]
    starts = torch.arange(count, device=edges.device).repeat_interleave(edges.shape[1]) * size
    return edges.repeat(1, count) + starts


def _entered(model: Layered, batch: Batch, rows: Mixed, edges: Tensor | None, views: Views) -> Views:
    """Returns `views` with what the model makes of its items before the first block."""
    dense = rows.dense()
    fields = {**batch, item_field(batch): dense}
    if edges is not None:
        fields["edge_index"] = edges
        fields["graph_index"] = edges.new_zeros(len(dense))
        fields["graph_sizes"] = edges.new_tensor([len(dense)])
        if "edge_attr" in batch:  # edges of virtual nodes have none
            known = batch["edge_attr"].repeat(views.count, 1)
            fields["edge_attr"] = F.pad(known, (0, 0, 0, edges.shape[1] - len(known)))
    hidden, context = Bound(model.enter)(fields)
    as_given = hidden.shape == dense.shape and hidden.data_ptr() == dense.data_ptr()
    return Views(rows if as_given else Mixed(hidden), context, views.count, views.items, views.prototypes, views.shared)
