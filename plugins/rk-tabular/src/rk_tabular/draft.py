"""The recipe that fits a user's table: what `rk recipes init` writes, and why."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import polars as pl

from rk import UserError
from rk.drafting import Draft
from rk.errors import counted
from rk_tabular.frame import Frame, NotATable, read_frame
from rk_tabular.parsing import Kind

PlainDict = dict[str, Any]  # Any: what a recipe may hold
Task = Literal["class", "number"]
USUAL_TARGETS = ("target", "label", "class", "y", "outcome", "response", "species", "diagnosis", "survived")
"""Names that a target often has, the likeliest first."""
FEW_CLASSES = 20
"""The most different values of whole numbers that are taken for classes."""
MANY_CLASSES = 1000
"""Texts of more different values are not taken for classes."""
FREE_TEXT_WORDS = 4
"""Mean number of words from which a column of texts is free text."""
_OF_TEXT = "free text"
_ID = re.compile(r"(^|[_ .-])(id|uuid|guid|index|key|no|nr|number|row)$|^unnamed|^column_1$", re.IGNORECASE)
SURE, LESS_SURE, UNSURE = 0.6, 0.4, 0.2


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        name: The column.
        why: Why this one.
        task: Whether it is a class or a number.
        reason: Why that.
        count: How many different values it has.
        either: Whether it could be of the other task too.
    """

    name: str
    why: str
    task: Task
    reason: str
    count: int
    either: bool


def draft_table(path: Path, target: str | None, task: Task) -> Draft | None:
    """Returns the recipe for a table; None where other data should read the file or predict its target.

    Args:
        path: The file.
        target: The column to predict; None: guess.
        task: What the data that asks can predict.

    Raises:
        rk.UserError: When the file is damaged, or has no column `target`.
    """
    try:
        frame = _read(path, path.stat().st_mtime_ns if path.is_file() else 0)
    except NotATable:
        return None
    found = find_target(frame, target)
    if found.task != task and not found.either:
        return None
    left_out = dict(_left_out(frame, found.name))
    inputs = [name for name in frame.names if name != found.name and name not in left_out]
    if not inputs:
        if any(_OF_TEXT in why for why in left_out.values()):
            return None  # data that reads texts takes it
        raise UserError(
            f"{path}: no column is left to predict {found.name!r} from",
            "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:10]) or "it is the only column",
        )
    confidence = SURE if found.task == task else UNSURE
    if any(_OF_TEXT in why for why in left_out.values()):
        confidence = min(confidence, LESS_SURE)  # data that reads texts knows more
    return _draft(frame, path, found, task, left_out, inputs, confidence)


@lru_cache(maxsize=1)
def _read(path: Path, changed: int) -> Frame:
    """Returns the frame of a file; both data ask for it, one after the other."""
    return read_frame(path)


# -- guesses -----------------------------------------------------------------------------------------------------------


def find_target(frame: Frame, name: str | None) -> Target:
    """Returns the target of a table: the column `name`, else one with a usual name, else the last that can be one.

    Raises:
        rk.UserError: When there is no such column, or it cannot be predicted.
    """
    if name is not None:
        given = int(name) if name not in frame.names and re.fullmatch(r"-?\d+", name) else name
        column = frame.column(given)
        return _target(frame, column, "as given")
    lowered = {column.lower(): column for column in reversed(frame.names)}
    usual = next((lowered[word] for word in USUAL_TARGETS if word in lowered), None)
    if usual is not None and _differs(frame, usual):
        return _target(frame, usual, "its name is that of a target")
    for column in reversed(frame.names):
        if column not in frame.faults and _differs(frame, column) and not _is_free(frame, column):
            last = column == frame.names[-1]
            return _target(frame, column, "the last column" if last else "the last column that can be predicted")
    raise UserError(f"{frame.path}: no column can be predicted: each is constant, empty or free text")


def _target(frame: Frame, name: str, why: str) -> Target:
    frame.check(name)
    if not _differs(frame, name):
        raise UserError(f"{frame.path}: the target {name!r} has no two different values: there is nothing to learn")
    values = frame.table[name].drop_nulls()
    kind, count = frame.kinds[name], values.n_unique()
    if kind == "date":
        raise UserError(f"{frame.path}: the target {name!r} is a date", "choose a class or a number: --target NAME")
    if kind == "text":
        if count > MANY_CLASSES or (count > FEW_CLASSES and count > len(values) / 2):
            raise UserError(
                f"{frame.path}: the target {name!r} has {count} different texts in {counted(len(values), 'row')}",
                "choose another column: --target NAME",
            )
        return Target(name, why, "class", f"a class, for it holds words: {_shown(values)}", count, False)
    whole = values.dtype == pl.Int64 or bool((values == values.round()).all())
    few = count <= FEW_CLASSES and (count == 2 or count <= len(values) / 5)
    repeated = count <= len(values) / 3 and count <= MANY_CLASSES
    if whole and few:
        reason = f"a class, for it holds {count} different whole numbers: {_shown(values)}"
        return Target(name, why, "class", reason, count, count > 2)
    return Target(name, why, "number", f"a number, for it has {count} different values", count, whole and repeated)


def _shown(values: pl.Series) -> str:
    first = [str(value) for value in values.unique().sort().head(6).to_list()]
    return ", ".join(first) + (", ..." if values.n_unique() > len(first) else "")


def _differs(frame: Frame, name: str) -> bool:
    return frame.table[name].drop_nulls().n_unique() > 1


def _is_free(frame: Frame, name: str) -> bool:
    """Whether a column of texts is free text, or names every row."""
    return frame.kinds[name] == "text" and _why_free(frame, name) is not None


def _why_free(frame: Frame, name: str) -> str | None:
    texts = frame.table[name].drop_nulls()
    count = texts.n_unique()
    if count <= max(20, len(texts) / 2):
        return None
    words = float(texts.head(10_000).str.split(" ").list.len().mean() or 0)  # type: ignore[arg-type]  # of numbers
    kind = _OF_TEXT if words >= FREE_TEXT_WORDS else "names rather than categories"
    return f"{kind}, {count} different in {counted(len(texts), 'row')}"


def _left_out(frame: Frame, target: str) -> Iterator[tuple[str, str]]:
    """Yields the columns that are left out, and why."""
    for name in frame.names:
        if name == target:
            continue
        column = frame.table[name]
        fault = frame.faults.get(name)
        values = column.drop_nulls()
        if fault is not None:
            others = "numbers" if fault.expected == "a number" else "dates"
            yield name, f"{frame.place(fault.row, name)} holds {fault.cell!r} where the others are {others}"
        elif frame.kinds[name] == "empty":
            yield name, "empty"
        elif values.n_unique() == 1 and not column.has_nulls():
            yield name, "the same in each row"
        elif frame.kinds[name] == "text" and (why := _why_free(frame, name)):
            yield name, why
        elif len(frame) > 10 and values.n_unique() == len(frame) and _counts(name, column):
            yield name, "a number for each row"
        elif column.dtype == frame.table[target].dtype and column.equals(frame.table[target], null_equal=True):
            yield name, f"the same as the target, {target}"


def _counts(name: str, column: pl.Series) -> bool:
    """Whether whole numbers, all different, number the rows."""
    if column.dtype != pl.Int64:
        return False
    return bool(_ID.search(name)) or bool((column.diff().drop_nulls() == 1).all())


# -- the recipe --------------------------------------------------------------------------------------------------------


def _draft(
    frame: Frame, path: Path, target: Target, task: Task, left_out: dict[str, str], inputs: list[str], confidence: float
) -> Draft:
    kinds = [frame.kinds[name] for name in inputs]
    parts = [_counted(n, *nouns) for kind, nouns in _NOUNS.items() if (n := kinds.count(kind))]
    about = f"the {task} {target.name}"
    about += f" ({_counted(target.count, 'class', 'classes')})" if task == "class" else ""
    about += f" from {' and '.join(parts)}, {counted(len(frame), 'row')}"
    data: PlainDict = {"file": str(path), "target": target.name if frame.header else frame.names.index(target.name) + 1}
    comments = {"data.target": f"{target.why}; {target.reason if target.task == task else f'taken as a {task}'}"}
    if left_out:
        data["leave_out"] = [*left_out]
        comments["data.leave_out"] = "; ".join(f"{name}: {why}" for name, why in left_out.items())
    data["encoding"] = "one-hot"
    comments["data.encoding"] = _inputs(frame, inputs)
    rows = round(0.7 * len(frame))
    batch_size = next((size for most, size in _BATCH_SIZES if rows <= most), 1024)
    data["batch_size"] = batch_size
    data |= {"val_fraction": 0.15, "test_fraction": 0.15}
    comments["data.val_fraction"] = (
        "shares of the rows; other files instead: val_file, test_file; or split_column, time_column"
    )
    if not frame.header:
        data["header"] = False
        comments["data.header"] = "the first row has values, no names: columns are column_1, column_2, ..."
    choices = _choices(task, data, rows, batch_size)
    comments |= {
        "fit.max_steps": f"{round(_steps(rows, batch_size) * batch_size / rows)} passes over {rows} training rows"
    }
    comments["fit.monitor"] = "the checkpoint that is best by it is the one that is tested"
    return Draft(about, data, choices, comments, tuple(_notes(frame, path, target, inputs)), confidence)


_NOUNS: dict[Kind, tuple[str, str]] = {
    "number": ("number", "numbers"),
    "text": ("category", "categories"),
    "date": ("date", "dates"),
}
_BATCH_SIZES = ((2_000, 32), (10_000, 128), (100_000, 256))


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _inputs(frame: Frame, inputs: list[str]) -> str:
    """Returns what the inputs were taken for."""
    said = []
    for kind, (_, noun) in _NOUNS.items():
        if names := [name for name in inputs if frame.kinds[name] == kind]:
            more = f" and {len(names) - 12} more" if len(names) > 12 else ""
            said.append(f"{noun}: {', '.join(names[:12])}{more}")
    return "; ".join(said) + ". Another kind: types: {NAME: number | category | date}"


def _steps(rows: int, batch_size: int) -> int:
    """Returns a number of steps: a hundred passes of small tables, ten of large ones, from 500 to 20,000 steps."""
    passes = 100 if rows < 10_000 else 30 if rows < 100_000 else 10
    steps = min(20_000, max(500, passes * rows / batch_size))
    return int(float(f"{steps:.2g}"))


def _choices(task: Task, data: PlainDict, rows: int, batch_size: int) -> dict[str, PlainDict]:
    monitor = "val/log-loss" if task == "class" else "val/rmse"
    loss = "cross-entropy" if task == "class" else "number-loss"
    steps = _steps(rows, batch_size)

    def network(hidden: list[int], dropout: float, lr: float, weight_decay: float) -> PlainDict:
        model: PlainDict = {"name": "table-mlp", "hidden_sizes": hidden}
        model |= {"dropout": dropout} if dropout else {}
        optimizer: PlainDict = {"name": "adamw", "lr": lr, "weight_decay": weight_decay, "schedule": "cosine"}
        fit: PlainDict = {"max_steps": steps, "validate_every": max(1, steps // 20), "monitor": monitor}
        fit |= {"threads": 1} if rows < 50_000 else {}
        return {
            "model": model,
            "loss": loss,
            "trainer": {"name": "backprop", "optimizer": optimizer},
            "fit": fit,
        }

    wide = [128, 128] if rows < 50_000 else [256, 256, 256]
    choices = {"mlp": network(wide, 0.1 if rows < 1_000 else 0.0, 3e-3 if rows < 50_000 else 1e-3, 0.05)}
    if importlib.util.find_spec("lightgbm") is not None:
        name = "table-classes" if task == "class" else "table-numbers"
        trees: dict[str, Any] = {"name": "boosted-trees", "lr": 0.05, "num_leaves": 31 if rows >= 2_000 else 15}
        trees |= {"min_rows": 5} if rows < 1_000 else {}
        choices["boosted-trees"] = {
            "data": {"name": name, **data, "encoding": "codes", "batch_size": 4096},
            "trainer": trees,
            **({"fit": {"threads": 1}} if rows < 50_000 else {}),
        }
    choices["linear"] = network([], 0.0, 1e-2, 0.01)
    return choices


def _notes(frame: Frame, path: Path, target: Target, inputs: list[str]) -> Iterator[str]:
    """Yields what the user should know of the file."""
    if count := frame.table[target.name].null_count():
        yield f"{counted(count, 'row')} without {target.name} will be left out"
    gaps = {name: count for name in inputs if (count := frame.table[name].null_count())}
    if gaps:
        more = f" and {len(gaps) - 12} more columns" if len(gaps) > 12 else ""
        said = ", ".join(f"{name} {count}" for name, count in list(gaps.items())[:12])
        yield f"gaps: {said}{more}; a gap is an input of its own"
    words = sorted({word for name, words in frame.gaps.items() if name in inputs for word in words})
    if words:
        yield f"read as gaps: {', '.join(words)}"
    if frame.decimal == ",":
        yield "numbers have decimal commas"
    for name, note in frame.notes.items():
        yield f"column {name}: {note}; data.day_first=false takes the month first"
    if copies := int(frame.table.is_duplicated().sum()):
        yield f"{counted(copies, 'row')} have an exact copy: the same row may be trained on and tested"
    for name in inputs:
        if frame.kinds[name] == "date":
            yield f"data.time_column={name} tests on the last rows by {name}, rather than on rows at random"
            break
