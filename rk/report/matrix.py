"""Many runs as a table of two settings: one down, one across, and a metric where they meet."""

from __future__ import annotations

import statistics
from typing import Any

from rk.errors import UserError, suggest
from rk.record import made, record
from rk.report.compare import ABSENT, changed_values, flatten
from rk.report.summary import RunSummary
from rk.report.text import number, plain_text, without_plugin
from rk.values import Plain, PlainDict


@record
class Matrix:
    """The result of each pair of settings.

    Attributes:
        rows: Labels of the one setting.
        columns: Labels of the other.
        metrics: The metric of each column.
        cells: (row, column) -> the metric of each run there; None where it is not a number.
    """

    rows: list[str]
    columns: list[str]
    metrics: list[str]
    cells: dict[tuple[str, str], list[float | None]] = made(default_factory=dict)

    def table(self) -> list[tuple[str, ...]]:
        """Returns one line of texts for each row: its label, and its cells."""
        return [(row, *(_cell(self.cells.get((row, column), [])) for column in self.columns)) for row in self.rows]

    def plain(self) -> PlainDict:
        """Returns the same for JSON: column -> its metric, and row -> column -> the metric of each run."""
        return {
            "metrics": dict(zip(self.columns, self.metrics, strict=True)),
            "rows": {
                row: {column: self.cells[row, column] for column in self.columns if (row, column) in self.cells}
                for row in self.rows
            },
        }


def matrix(runs: list[RunSummary], rows: str, columns: str, metrics: tuple[str, ...] = ()) -> Matrix:
    """Puts runs into a table.

    Args:
        runs: Which ones.
        rows: The setting that goes down, a dotted key: ``model.layer``.
        columns: The one that goes across: ``data``.
        metrics: What cells show: in each column, the first that a run there has. None are given: what a recipe there
            claims first, else the first test metric.

    Raises:
        UserError: When no run has such a setting or such a metric.
    """
    down, across = labels(runs, rows), labels(runs, columns)
    known = dict.fromkeys(name for run in runs for name in run.metrics)
    for metric in metrics:
        if metric not in known:
            raise UserError(f"no run has a metric {metric!r}", suggest(metric, known, "there are"))
    result = Matrix([*dict.fromkeys(down)], [*dict.fromkeys(across)], [])
    there: dict[str, list[tuple[RunSummary, str]]] = {}
    for run, row, column in zip(runs, down, across, strict=True):
        there.setdefault(column, []).append((run, row))
    for column in result.columns:
        metric = _metric([run for run, _ in there[column]], metrics)
        result.metrics.append(metric)
        for run, row in there[column]:
            reached = run.metrics
            if metric in reached:
                result.cells.setdefault((row, column), []).append(reached[metric])
    return result


def labels(runs: list[RunSummary], key: str) -> list[str]:
    """Returns for each run what its setting `key` is: a value, or a component's name.

    Components of one name are distinguished by the parameters in which they differ.

    Raises:
        UserError: When no run has that setting.
    """
    values = [_setting(run.recipe, key) for run in runs]
    if all(value == ABSENT for value in values):
        known = dict.fromkeys(k for run in runs for k in flatten(run.recipe))
        raise UserError(f"no run has a setting {key!r}", suggest(key, known, "there are"))
    flat = [flatten(value, key) for value in values]
    whole = [plain_text(one.get(key, ABSENT)) for one in flat]
    names = [without_plugin(text) for text in whole]
    if len(set(names)) < len(set(whole)):  # two plugins may have components of one name
        names = whole
    alike: dict[str, list[PlainDict]] = {}
    for one, name in zip(flat, names, strict=True):
        alike.setdefault(name, []).append(one)
    differing_of = {name: changed_values(ones) for name, ones in alike.items()}
    found = []
    for one, name in zip(flat, names, strict=True):
        differing = differing_of[name]
        told = [f"{k.removeprefix(f'{key}.')}={without_plugin(plain_text(one.get(k, ABSENT)))}" for k in differing]
        found.append(" ".join([name, *told]))
    return found


def _setting(recipe: PlainDict, key: str) -> Any:
    value: Plain = recipe
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return ABSENT
        value = value[part]
    return value


def _metric(runs: list[RunSummary], wanted: tuple[str, ...]) -> str:
    has = dict.fromkeys(name for run in runs for name in run.metrics)
    claimed = [name for run in runs for claim in run.expect for name in claim.among(run.metrics)] if not wanted else []
    tested = [name for name in has if name.startswith("test")]
    candidates = wanted or (*claimed, *tested, *has)
    return next((name for name in candidates if name in has), ABSENT)


def _cell(values: list[float | None]) -> str:
    if not values:
        return ""
    known = [value for value in values if value is not None]
    if len(values) == 1 or len(known) < len(values):
        return " ".join(map(number, values))
    return f"{number(statistics.mean(known))} ± {statistics.stdev(known):.2g}"
