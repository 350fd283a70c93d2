"""Answers of `rk predict`: one dict per example, as a table, JSON or CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from rk.cli.output import echo, print_table
from rk.errors import UserError
from rk.jsontext import finite, to_json
from rk.values import Plain, PlainDict


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
    """Writes answers as JSON or CSV, by the ending of `path`; numbers that JSON lacks become null."""
    try:
        if path.suffix == ".json":
            path.write_text(to_json(answers, indent=2) + "\n", encoding="utf-8")
            return
        with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, _columns(answers))
            writer.writeheader()
            writer.writerows({k: _cell(v) for k, v in answer.items()} for answer in answers)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


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
