"""Answers of `rk predict`: one dict per example, as a table, JSON, JSON lines or CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from rk.cli.output import echo, print_table
from rk.errors import RunFailed, UserError
from rk.jsontext import finite, to_json
from rk.values import Plain, PlainDict
from rk.writing import Replacement

ENDINGS = (".json", ".jsonl", ".csv")


def print_answers(answers: list[PlainDict]) -> None:
    """Prints one answer as a list of its parts, several as a table; warns of values that are not finite."""
    columns = _columns(answers)
    if len(answers) == 1:
        width = max(map(len, columns), default=0)
        for key, value in answers[0].items():
            echo(f"{key.ljust(width)}  {_cell(value)}")
    elif answers:
        print_table(columns, [[_cell(a.get(c)) for c in columns] for a in answers])
    _warn_of_gaps(answers)


def write_answers(answers: list[PlainDict], path: Path) -> None:
    """Writes answers as JSON, JSON lines or CSV, by the ending of `path`; numbers that JSON lacks become null."""
    file = AnswerFile.of(path)
    file.add(answers)
    file.close()


class AnswerFile(ABC):
    """A file of answers that is written as they come, and takes the place of an old one when it is closed.

    Args:
        path: The file.

    Raises:
        UserError: When it cannot be written; so do `add` and `close`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _as_mistake():
            self._new = Replacement(Path(os.path.realpath(path)))

    @staticmethod
    def of(path: Path) -> AnswerFile:
        """Returns the file for the ending of `path`: one of `ENDINGS`."""
        kinds = {".json": JsonFile, ".jsonl": JsonLinesFile}
        return kinds.get(path.suffix.lower(), CsvFile)(path)

    @abstractmethod
    def add(self, answers: list[PlainDict]) -> None:
        """Adds answers behind those that are there."""

    def close(self) -> None:
        """Puts the file to its place."""
        with _as_mistake():
            self._new.keep()

    def drop(self) -> None:
        """Leaves no file; an old one is untouched."""
        self._new.drop()


class JsonLinesFile(AnswerFile):
    """A JSON object in each line."""

    def add(self, answers: list[PlainDict]) -> None:
        with _as_mistake():
            self._new.write(*(to_json(answer) + "\n" for answer in answers))


class JsonFile(AnswerFile):
    """One JSON list, indented."""

    _begun = False

    def add(self, answers: list[PlainDict]) -> None:
        with _as_mistake():
            for answer in answers:
                self._new.write(",\n  " if self._begun else "[\n  ", to_json(answer, indent=2).replace("\n", "\n  "))
                self._begun = True

    def close(self) -> None:
        with _as_mistake():
            self._new.write("\n]\n" if self._begun else "[]\n")
        super().close()


class CsvFile(AnswerFile):
    """A table whose columns are the keys of all answers, in the order in which they come first.

    The rows wait in a file of their own: which columns there are is known only at the end.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._rows = tempfile.TemporaryFile(  # noqa: SIM115  it is open until the answers end
            "w+", newline="", encoding="utf-8", errors="backslashreplace"
        )
        self._writer = csv.writer(self._rows)
        self._columns: dict[str, None] = {}
        self._begun = self._grew = False

    def add(self, answers: list[PlainDict]) -> None:
        for answer in answers:
            if not answer.keys() <= self._columns.keys():
                self._columns |= dict.fromkeys(answer)
                self._grew |= self._begun
            self._begun = True
            self._write(self._writer, [_cell(answer.get(name)) for name in self._columns])

    def close(self) -> None:
        self._rows.seek(0)
        if self._columns:
            with _as_mistake():
                self._new.write(_line(list(self._columns)))
        if not self._grew:
            while piece := self._rows.read(2**20):
                self._keep(piece)
        else:
            for row in csv.reader(self._rows):
                with _as_mistake():
                    self._new.write(_line([*row, *[""] * (len(self._columns) - len(row))]))
        self._rows.close()
        super().close()

    def drop(self) -> None:
        self._rows.close()
        super().drop()

    def _write(self, writer: Any, row: list[str]) -> None:  # Any: csv has no name for the type
        try:
            writer.writerow(row)
        except OSError as error:
            self.drop()
            raise UserError(f"cannot write {self.path}: {error.strerror}") from None

    def _keep(self, text: str) -> None:
        with _as_mistake():
            self._new.write(text.encode("utf-8", "backslashreplace"))


def _line(row: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(row)
    return text.getvalue().encode("utf-8", "backslashreplace")


@contextlib.contextmanager
def _as_mistake() -> Iterator[None]:
    """Reports a file that cannot be written as the user's mistake."""
    try:
        yield
    except RunFailed as error:
        raise UserError(error.message, error.hint) from None


class Shown:
    """The answers that are printed at the end: all of them, or of many that a file has, the first ones.

    Args:
        most: How many are kept at most; None: all.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.kept: list[PlainDict] = []
        self.count = 0

    def add(self, answers: list[PlainDict]) -> None:
        """Takes further answers."""
        self.count += len(answers)
        room = len(answers) if self.most is None else max(0, self.most - len(self.kept))
        self.kept += answers[:room]

    def print(self, where: str) -> None:
        """Prints what was kept; `where` says which file has the rest."""
        print_answers(self.kept)
        if self.count > len(self.kept):
            echo(f"... and {self.count - len(self.kept)} more answers in {where}")


def _columns(answers: list[PlainDict]) -> list[str]:
    """Returns the keys of all answers, in the order in which they first come: not every answer has all of them."""
    return list(dict.fromkeys(key for answer in answers for key in answer))


def _warn_of_gaps(answers: list[PlainDict]) -> None:
    gaps = [(i, key) for i, a in enumerate(answers, 1) for key, value in a.items() if _has_gap(value)]
    if gaps:
        number, key = gaps[0]
        count = len({i for i, _ in gaps})
        more = f", and {count - 1} more" if count > 1 else ""
        click.echo(f"warning: {key} of answer {number}{more} is not finite; written as null in JSON", err=True)


def _has_gap(value: Plain) -> bool:
    """Whether a NaN or an infinity is in a value, at any depth."""
    if isinstance(value, dict):
        return any(map(_has_gap, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_gap, value))
    return isinstance(value, float) and finite(value) is None


def _cell(value: Plain) -> str:
    if isinstance(value, list | tuple):
        return " ".join(_cell(v) for v in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
