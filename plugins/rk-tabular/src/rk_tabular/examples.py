"""Tables that scikit-learn ships, read as a user's file is: to compare models, and to look at what a recipe needs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

import polars as pl

from rk import UserError
from rk_tabular.frame import Frame, read_frame
from rk_tabular.tables import Classes, Numbers


class ExampleClasses(Classes):
    """Classes from numbers: breast cancer (569 rows, Wolberg 1995), wine (178, Forina 1988) or iris (150, Fisher 1936).

    Args:
        dataset: Which one. Needs scikit-learn.

    Examples:
        data: {name: example-classes, dataset: wine}
    """

    def __init__(self, dataset: Literal["breast-cancer", "wine", "iris"] = "breast-cancer", **common: Any) -> None:
        super().__init__(file=Path(dataset), target=-1, **common)
        self.dataset = dataset

    def _read(self, path: Path) -> Frame:
        return _shipped(self.dataset)


class ExampleNumbers(Numbers):
    """A number from ten columns: diabetes (442 patients; progression after a year; Efron et al. 2004).

    Args:
        dataset: Which one. Needs scikit-learn.

    Examples:
        data: {name: example-numbers, encoding: codes}
    """

    def __init__(self, dataset: Literal["diabetes"] = "diabetes", **common: Any) -> None:
        super().__init__(file=Path(dataset), target=-1, **common)
        self.dataset = dataset

    def _read(self, path: Path) -> Frame:
        return _shipped(self.dataset)


def _shipped(dataset: str) -> Frame:
    """Returns a table of scikit-learn's, by way of a CSV file."""
    with tempfile.TemporaryDirectory(prefix="rk-") as folder:
        path = write_example(dataset, Path(folder, f"{dataset}.csv"))
        return read_frame(path, texts=["class"])


def write_example(dataset: str, path: Path) -> Path:
    """Writes a table of scikit-learn's as a CSV file with a line of names; returns its path.

    Args:
        dataset: ``breast-cancer``, ``wine``, ``iris`` or ``diabetes``.
        path: The file.

    Raises:
        rk.UserError: When scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError:
        raise UserError(f"the table {dataset} needs scikit-learn", "pip install scikit-learn") from None
    if dataset == "diabetes":
        found = datasets.load_diabetes(scaled=False)
        target = pl.Series("progression", found.target)
    else:
        found = getattr(datasets, f"load_{dataset.replace('-', '_')}")()
        target = pl.Series("class", [str(found.target_names[number]) for number in found.target])
    names = [name.replace(" (cm)", "").replace(" ", "_") for name in found.feature_names]
    table = pl.DataFrame({name: found.data[:, i] for i, name in enumerate(names)}).with_columns(target)
    table.write_csv(path)
    return path
