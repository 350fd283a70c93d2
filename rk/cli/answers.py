"""Answers of `rk predict`: one dict per example, as a table, JSON or CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import click

from rk.cli.output import print_table
from rk.errors import UserError


def print_answers(answers: list[dict[str, Any]]) -> None:
    """Prints one answer as a list of its parts, several as a table."""
    if len(answers) == 1:
        width = max(map(len, answers[0]), default=0)
        for key, value in answers[0].items():
            click.echo(f"{key.ljust(width)}  {_cell(value)}")
    elif answers:
        columns = list(answers[0])
        print_table(columns, [[_cell(a.get(c)) for c in columns] for a in answers])


def write_answers(answers: list[dict[str, Any]], path: Path) -> None:
    """Writes answers as JSON or CSV, by the ending of `path`."""
    try:
        if path.suffix == ".json":
            path.write_text(json.dumps(answers, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            return
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(answers[0]) if answers else [])
            writer.writeheader()
            writer.writerows({k: _cell(v) for k, v in answer.items()} for answer in answers)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(_cell(v) for v in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
