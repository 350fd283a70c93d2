"""The base of tables: splits, encoded inputs, new rows of users, answers."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Lt
from torch import Tensor

from rk import UserError
from rk.errors import counted, printable, suggest
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, rows
from rk_tabular.columns import Columns, Type, fit_columns
from rk_tabular.frame import Frame, read_frame
from rk_tabular.splits import Rows, at_random, by_column, by_time

Encoding = Literal["one-hot", "codes"]
LISTED = 8
"""Most names that a message lists."""


class Table(ABC):
    """Rows of a user's file: numbers, categories and dates as inputs, one column as the target.

    Args:
        file: CSV, TSV, Parquet or JSON lines, beside the working folder or absolute; it may be inside a gzip file.
        seed: Chooses the rows that are validated and tested, and orders the training batches.
        target: The column to predict: its name, or its place from 1; -1 is the last one.
        leave_out: Columns that are not inputs, such as ids and free texts.
        types: Column -> `number`, `category` or `date`, where what it holds does not show it.
        encoding: `one-hot`: an input for each category and for each column with gaps. `codes`: one input per column,
            the code of its category, NaN for a gap; for trees and models with embeddings.
        batch_size: Rows per batch.
        val_fraction: Share of the rows that is validated; not used where a file or `split_column` names such rows.
        test_fraction: Share of the rows that is tested; not used where a file or `split_column` names such rows.
        val_file: Another file whose rows are validated instead.
        test_file: Another file whose rows are tested instead.
        split_column: A column that says `train`, `val` or `test` for each row.
        time_column: A column of dates or numbers: the last rows are tested, those before validated.
        max_categories: Most values of a category; rarer ones count as unknown, as do those of a single row.
        header: Whether the first row of a delimited file has names; null: as it looks.
        day_first: Whether 01/02/2020 is in February; null: as other dates of the column show.
    """

    splits = ("train", "val", "test")
    num_features: int
    category_sizes: tuple[int, ...]

    def __init__(
        self,
        file: Path,
        seed: int,
        target: str | int = -1,
        leave_out: tuple[str, ...] = (),
        types: dict[str, Type] | None = None,
        encoding: Encoding = "one-hot",
        batch_size: Annotated[int, Ge(1)] = 64,
        val_fraction: Annotated[float, Ge(0), Lt(1)] = 0.15,
        test_fraction: Annotated[float, Ge(0), Lt(1)] = 0.15,
        val_file: Path | None = None,
        test_file: Path | None = None,
        split_column: str | None = None,
        time_column: str | None = None,
        max_categories: Annotated[int, Ge(1)] = 100,
        header: bool | None = None,
        day_first: bool | None = None,
    ) -> None:
        if val_fraction + test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave no training rows")
        if split_column is not None and time_column is not None:
            raise ValueError("rows are split by split_column or by time_column: give one of them")
        self.file = file
        self.seed = seed
        self.target = target
        self.leave_out = leave_out
        self.types: dict[str, Type] = types or {}
        self.encoding = encoding
        self.batch_size = batch_size
        self.fractions = (val_fraction, test_fraction)
        self.files = {"val": val_file, "test": test_file}
        self.split_column = split_column
        self.time_column = time_column
        self.max_categories = max_categories
        self.header = header
        self.day_first = day_first

    # -- what classes and numbers have of their own --------------------------------------------------------------------

    _target_is_text: bool
    """Whether the target is read as texts."""

    @abstractmethod
    def _fit_targets(self, frame: Frame, name: str) -> None:
        """Takes what there is to know of the targets from the training rows."""

    @abstractmethod
    def _targets(self, frame: Frame, name: str) -> Tensor:
        """Returns the targets of rows, none of which lacks one. Raises `rk.UserError` for one that cannot be."""

    def _strata(self, frame: Frame, name: str) -> Rows | None:
        """Returns the class of each row, by which splits are made alike; None where there are none."""
        return None

    # -- reading -------------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        frame = self._read(self.file)
        name = frame.column(self.target)
        self._check_names(frame, name)
        for column in self._inputs(frame, name):  # before rows are left out: each is a mistake
            if self.types.get(column) != "category":
                frame.check(column)
        frame = self._with_targets(frame, name)
        parts = self._split(frame, name)
        train = frame.take(parts["train"]) if len(parts["train"]) < len(frame) else frame
        self._target_name = name
        self._fit_targets(train, name)
        self._columns = fit_columns(train, self._inputs(frame, name), self.types, self.max_categories)
        self._header = frame.header
        self._places = {column: i for i, column in enumerate(frame.names)}
        self._day_first = _one_order(frame, self.day_first)
        self._note_facts()
        self._rows: dict[str, tuple[Tensor, Tensor]] = {}
        for split in self.splits:
            other = self.files.get(split)
            part = self._other(other, name) if other is not None else frame.take(parts[split])
            if not len(part):
                raise UserError(f"{printable(str(self.file))}: the split {split} has no rows", _FRACTIONS)
            self._rows[split] = (self._columns.encode(part), self._targets(part, name))

    def _read(self, path: Path) -> Frame:
        """Returns the frame of the file that is trained on."""
        texts: list[str | int] = [name for name, kind in self.types.items() if kind == "category"]
        texts += [self.target] if self._target_is_text else []
        texts += [] if self.split_column is None else [self.split_column]
        return read_frame(path, header=self.header, day_first=self.day_first, texts=texts)

    def _check_names(self, frame: Frame, target: str) -> None:
        """Raises `rk.UserError` for parameters that name no column, or one that has another use."""
        for name in (*self.leave_out, *self.types, self.split_column, self.time_column):
            if name is not None:
                frame.column(name)
        others = {"split_column": self.split_column, "time_column": self.time_column}
        for parameter, name in others.items():
            if name == target:
                raise UserError(f"data.{parameter}: {name!r} is the target")
        if target in self.leave_out:
            raise UserError(f"data.leave_out: {target!r} is the target")

    def _with_targets(self, frame: Frame, name: str) -> Frame:
        """Returns the rows that have a target; a warning counts the others."""
        missing = frame.table[name].is_null()
        if not missing.any():
            return frame
        shown, count = printable(str(frame.path)), int(missing.sum())
        if count == len(frame):
            raise UserError(f"{shown}: the target {name!r} has no values")
        first = int(frame.lines[missing.arg_true()[0]])
        where = f"the first in line {first}"
        print(f"warning: {shown}: {counted(count, 'row')} without a target left out, {where}", file=sys.stderr)
        return frame.take((~missing).arg_true().to_numpy())

    def _inputs(self, frame: Frame, target: str) -> list[str]:
        used = {target, self.split_column, *self.leave_out}
        return [name for name in frame.names if name not in used]

    def _split(self, frame: Frame, target: str) -> dict[str, Rows]:
        val, test = (
            0.0 if self.files[split] else share for split, share in zip(("val", "test"), self.fractions, strict=True)
        )
        if self.time_column is not None:
            return by_time(frame, self.time_column, val, test)
        if self.split_column is None:
            strata = self._strata(frame, target)
            return at_random(len(frame), strata, val, test, self.seed, str(self.file))
        named = by_column(frame, self.split_column)
        wanted = [share if not len(named[split]) else 0.0 for split, share in (("val", val), ("test", test))]
        if any(wanted):
            train = frame.take(named["train"])
            strata = self._strata(train, target)
            parts = at_random(len(train), strata, wanted[0], wanted[1], self.seed, str(self.file))
            taken = {split: named["train"][chosen] for split, chosen in parts.items()}
            named = {split: np.concatenate([taken[split], named[split] if split != "train" else []]) for split in named}
            named = {split: chosen.astype(np.int64) for split, chosen in named.items()}
        return named

    def _other(self, path: Path, target: str) -> Frame:
        """Returns the frame of another file that is validated or tested."""
        frame = self._new(path)
        if target not in frame.names:
            near = suggest(target, frame.names, "columns")
            raise UserError(f"{printable(str(path))}: there is no column {target!r}", near)
        return self._with_targets(frame, target)

    # -- batches -------------------------------------------------------------------------------------------------------

    def batches(self, split: str) -> int:
        return batch_count(len(self._rows[split][1]), self.batch_size)

    def _chosen(self, split: str, i: int) -> tuple[Tensor, Tensor]:
        inputs, targets = self._rows[split]
        chosen = rows(len(targets), self.batch_size, i, seed=self.seed, shuffle=split == "train")
        return self._widened(inputs[chosen]), targets[chosen]

    def _widened(self, encoded: Tensor) -> Tensor:
        return self._columns.widen(encoded) if self.encoding == "one-hot" else encoded

    def _note_facts(self) -> None:
        wide = self.encoding == "one-hot"
        columns = self._columns
        self.num_features = columns.width if wide else len(columns.numbers) + len(columns.categories)
        self.category_sizes = () if wide else columns.sizes

    # -- new rows ------------------------------------------------------------------------------------------------------

    def read(self, path: Path) -> Batch:
        """Reads rows from CSV, TSV, Parquet or JSON lines: columns by name in any order, with the target or without.

        Other columns are ignored with a note. In files without names the columns have the places of the training file;
        the target's may be left out.
        """
        frame = self._new(path)
        batch: dict[str, Any] = {"inputs": self._widened(self._columns.encode(frame))}
        if self._target_name in frame.names and not frame.table[self._target_name].has_nulls():
            batch |= self._known(frame)
        return batch

    def _known(self, frame: Frame) -> dict[str, Tensor]:
        """Returns the targets of rows of which all have one."""
        return {"targets": self._targets(frame, self._target_name)}

    def _new(self, path: Path) -> Frame:
        """Returns another file's frame, its columns called as those of the training file.

        Raises:
            rk.UserError: When columns are missing.
        """
        needed, shown = self._columns.names, printable(str(path))
        texts = [c.column for c in self._columns.categories] + ([self._target_name] if self._target_is_text else [])
        if not self._header:
            return self._by_place(path, texts)
        frame = read_frame(path, day_first=self._day_first, texts=texts)
        missing = [name for name in needed if name not in frame.names]
        if missing:
            near = suggest(missing[0], [name for name in frame.names if name not in needed], "other columns")
            more = f" (and {len(missing) - 1} more: {_listed(missing[1:])})" if len(missing) > 1 else ""
            if not frame.header:
                near = f"its first line must have names: {_listed(needed)}"
            raise UserError(f"{shown}: there is no column {missing[0]!r}{more}", near)
        known = {*self._places}
        if other := [name for name in frame.names if name not in known]:
            print(
                f"note: {shown}: columns that the training file does not have are ignored: {_listed(other)}",
                file=sys.stderr,
            )
        return frame

    def _by_place(self, path: Path, texts: list[str]) -> Frame:
        """Returns the frame of a file without names; the target's column may be missing."""
        frame = read_frame(path, header=False, day_first=self._day_first)
        names = list(self._places)
        width, found = len(names), frame.table.width
        if found == width - 1:
            names.remove(self._target_name)
        elif found != width:
            raise UserError(
                f"{printable(str(path))}: rows have {found} columns, the training file has {width}",
                f"the target, column {self._places[self._target_name] + 1}, may be left out",
            )
        if kept := [i + 1 for i, name in enumerate(names) if name in texts]:
            frame = read_frame(path, header=False, day_first=self._day_first, texts=kept)
        return frame.renamed(names)

    # -- what a run keeps ----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns how columns are encoded and what the targets are: a run answers without the file."""
        return {
            "columns": self._columns.state(),
            "target": self._target_name,
            "header": self._header,
            "names": list(self._places),
            "day_first": self._day_first,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._columns = Columns.from_state(state["columns"])
        self._target_name = state["target"]
        self._header = state["header"]
        self._places = {name: i for i, name in enumerate(state["names"])}
        self._day_first = state["day_first"]
        self._note_facts()

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a row becomes ``inputs``; the README of rk-tabular says what each key means."""
        return {
            "field": "inputs",
            "from": "typed-table",
            "target": self._target_name,
            "features": self._columns.features(self.encoding == "one-hot"),
        }

    @abstractmethod
    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]: ...


_FRACTIONS = "raise val_fraction or test_fraction, or name a file"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(repr(name) for name in names[:LISTED]) + more


def _one_order(frame: Frame, given: bool | None) -> bool | None:
    """Returns whether days come first in dates of two possible orders; None where columns differ, or there are none."""
    found = {*frame.day_first.values()}
    return given if given is not None else found.pop() if len(found) == 1 else None
