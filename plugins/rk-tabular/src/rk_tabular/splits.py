"""Which rows of a table are trained on, validated and tested."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from rk import UserError
from rk.errors import counted, printable
from rk.reading import describe
from rk.sampling import rows, with_every_class
from rk_tabular.frame import Frame

Rows = NDArray[np.int64]
NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
}
"""Value of a column of splits, in any case -> the split."""


def at_random(
    count: int, classes: Rows | None, val_fraction: float, test_fraction: float, seed: int, path: str
) -> dict[str, Rows]:
    """Returns the rows of each split, chosen at random; of each class about the same share.

    Args:
        count: All rows.
        classes: (count,) The class of each row, from 0; None where the target is a number.
        val_fraction: Share that is validated; 0 for none.
        test_fraction: Share that is tested; 0 for none.
        seed: Of the choice.
        path: The file, for messages.

    Raises:
        rk.UserError: When there are too few rows.
    """
    order = rows(count, count, 0, seed=seed, shuffle=True)
    if classes is not None:
        order = _spread(order, torch.from_numpy(classes))
    n_val, n_test = (max(1, round(share * count)) if share else 0 for share in (val_fraction, test_fraction))
    if count - n_val - n_test < 1:
        raise UserError(f"{printable(path)}: {counted(count, 'row')} are too few to train, validate and test")
    if classes is not None:
        order = with_every_class(order, torch.from_numpy(classes), n_val + n_test)
    chosen = order.numpy()
    found = {"train": chosen[n_val + n_test :], "val": chosen[:n_val], "test": chosen[n_val : n_val + n_test]}
    return {split: np.sort(part) for split, part in found.items()}


def _spread(order: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Returns an order any stretch of which has about the share of each class that all rows have."""
    labels = classes[order]
    counts = torch.bincount(labels)
    by_class = labels.argsort(stable=True)
    sorted_labels = labels[by_class]
    place = torch.arange(len(order)) - (counts.cumsum(0) - counts)[sorted_labels]
    # the k-th of a class's n rows is at (k + 1/2) / n of the way
    position = (place.double() + 0.5) / counts[sorted_labels]
    return order[by_class[position.argsort(stable=True)]]


def by_time(frame: Frame, column: str, val_fraction: float, test_fraction: float) -> dict[str, Rows]:
    """Returns the earliest rows for training, later ones for validation, the last for the test.

    Rows of one time stay together, so shares may be a little smaller.

    Raises:
        rk.UserError: When the column has gaps, or neither dates nor numbers, or too few times.
    """
    times = (frame.dates(column) if frame.kinds[column] == "date" else frame.numbers(column)).cast(float)
    if times.has_nulls():
        row = times.is_null().arg_true()[0]
        raise UserError(f"{frame.place(row, column)}: expected a time to split by, got an empty cell")
    order = times.arg_sort().to_numpy().astype(np.int64)
    ordered = times.to_numpy()[order]
    count = len(ordered)

    def cut(share: float) -> int:
        return int(np.searchsorted(ordered, ordered[min(count - 1, round(count * (1 - share)))], "left"))

    last = cut(test_fraction) if test_fraction else count
    first = cut(val_fraction + test_fraction) if val_fraction else last
    if first == 0 or (val_fraction and first == last) or (test_fraction and last == count):
        raise UserError(f"{printable(str(frame.path))}: column {column!r} has too few different times to split by")
    return {"train": np.sort(order[:first]), "val": np.sort(order[first:last]), "test": np.sort(order[last:])}


def by_column(frame: Frame, column: str) -> dict[str, Rows]:
    """Returns the rows of each split as a column names them: ``train``, ``val``, ``test``, or usual words for these.

    Raises:
        rk.UserError: When a cell names no split, or none is ``train``.
    """
    texts = frame.texts(column).str.to_lowercase()
    named = texts.replace_strict(NAMES, default=None)
    if named.has_nulls():
        row = named.is_null().arg_true()[0]
        got = "an empty cell" if texts[row] is None else describe(frame.texts(column)[row])
        raise UserError(f"{frame.place(row, column)}: expected train, val or test, got {got}")
    found = {split: (named == split).arg_true().to_numpy().astype(np.int64) for split in ("train", "val", "test")}
    if not len(found["train"]):
        raise UserError(f"{printable(str(frame.path))}: column {column!r} names no row for train")
    return found
