"""Which nodes, or graphs, are trained on, validated and tested."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from rk import UserError
from rk.sampling import generator, with_every_class

Split = Literal["published", "random", "k-fold"]
"""``published``: as those who published the data split it. ``random``: shares of all. ``k-fold``: one of five parts is
tested; a fifth of the rest is validated."""
FOLDS = 5
Parts = dict[str, Int[Tensor, "rows"]]


def at_random(classes: Int[Tensor, "rows"], val_fraction: float, test_fraction: float, number: int) -> Parts:
    """Returns the rows of each split, drawn at random; every class stays among the rows that are trained on.

    Args:
        classes: (rows,) The class of each.
        val_fraction: Share that is validated.
        test_fraction: Share that is tested.
        number: Which of all random splits.

    Raises:
        UserError: When there are too few rows.
    """
    count = len(classes)
    n_val, n_test = max(1, round(val_fraction * count)), max(1, round(test_fraction * count))
    if count - n_val - n_test < 1:
        raise UserError(f"{count} are too few to train, validate and test", "lower val_fraction and test_fraction")
    order = torch.randperm(count, generator=generator("graph split", number))
    order = with_every_class(order, classes, n_val + n_test)
    return {"train": order[n_val + n_test :], "val": order[:n_val], "test": order[n_val : n_val + n_test]}


def k_fold(count: int, fold: int) -> Parts:
    """Returns 64 % for training, 16 % for validation and 20 % for tests, as arXiv:2403.11004, Sec. 4.1 draws them.

    Args:
        count: All rows.
        fold: Which of the five parts is tested, from 0.

    Raises:
        UserError: When scikit-learn is not installed, or there are too few rows.
    """
    try:
        from sklearn.model_selection import KFold, train_test_split
    except ImportError:
        raise UserError("split: k-fold needs scikit-learn", "pip install scikit-learn") from None
    if count < FOLDS * 2:
        raise UserError(f"split: k-fold needs {FOLDS * 2} rows, got {count}", "split: random")
    folds = KFold(FOLDS, shuffle=True, random_state=101).split(np.arange(count))
    rest, test = list(folds)[fold]
    train, val = train_test_split(rest, test_size=0.2, random_state=127 * fold)
    return {name: torch.from_numpy(np.asarray(part)) for name, part in (("train", train), ("val", val), ("test", test))}


def stratified(classes: Int[Tensor, "rows"], fold: int, folds: int = 10) -> Parts:
    """Returns the rows of one of ten folds that have about the same share of each class (arXiv:1810.00826, Sec. 7).

    The fold after the tested one is validated: the paper has no validation, and chooses the epoch on the tests.

    Args:
        classes: (rows,) The class of each.
        fold: Which part is tested, from 0.
        folds: How many parts there are.

    Raises:
        UserError: When scikit-learn is not installed, or a class has fewer rows than there are folds.
    """
    try:
        from sklearn.model_selection import StratifiedKFold
    except ImportError:
        raise UserError("folds of graphs need scikit-learn", "pip install scikit-learn") from None
    smallest = int(torch.bincount(classes).min())
    if smallest < folds:
        raise UserError(f"{folds} folds need {folds} graphs of each class, got {smallest}")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    parts = [torch.from_numpy(test) for _, test in splitter.split(np.zeros(len(classes)), classes.numpy())]
    val = (fold + 1) % folds
    train = torch.cat([part for i, part in enumerate(parts) if i not in (fold, val)])
    return {"train": train, "val": parts[val], "test": parts[fold]}
