"""Several runs side by side: the settings in which they differ, and what they reached."""

from __future__ import annotations

from collections.abc import Sequence

from rk.report.summary import RunSummary
from rk.report.text import duration, number, plain_text
from rk.values import Plain, PlainDict

ABSENT = "-"
_NOT_SETTINGS = ("rk", "about", "paper", "requires", "expect")


def flatten(value: Plain, key: str = "") -> PlainDict:
    """Returns dotted key -> plain value. A component's name is the value of the component's own key."""
    if isinstance(value, dict):
        items = {key: value["name"]} if "name" in value else {}
        for name, inner in value.items():
            if not (name == "name" and key):
                items |= flatten(inner, f"{key}.{name}" if key else name)
        return items
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        items = {}
        for i, inner in enumerate(value):
            items |= flatten(inner, f"{key}.{i}")
        return items
    return {key: value}


def changed_settings(runs: list[RunSummary]) -> dict[str, list[Plain]]:
    """Returns key -> one value per run (`ABSENT` where a run has none), for the keys whose values differ."""
    return changed_values([run_settings(run) for run in runs])


def run_settings(run: RunSummary) -> PlainDict:
    """Returns what decided the run, as dotted keys."""
    return flatten({k: v for k, v in run.recipe.items() if k not in _NOT_SETTINGS})


def seed_of(run: RunSummary) -> int:
    """Returns the run's ``fit.seed``."""
    seed: int = run_settings(run).get("fit.seed", 0)
    return seed


def changed_values(settings: list[PlainDict]) -> dict[str, list[Plain]]:
    """Returns key -> one value for each of `settings` (`ABSENT` where one has none), for the keys that differ."""
    keys = dict.fromkeys(key for one in settings for key in one)
    rows = {key: [one.get(key, ABSENT) for one in settings] for key in keys}
    return {key: values for key, values in rows.items() if any(v != values[0] for v in values)}


def measured(run: RunSummary) -> dict[str, PlainDict]:
    """Returns metric -> its final value, and the last and the best of its series, for all but training logs."""
    final = run.info.get("metrics") or {}
    names = dict.fromkeys([*final, *(n for n in run.series if not n.startswith("train/"))])
    result: dict[str, PlainDict] = {}
    for name in names:
        series, best = run.series.get(name, []), run.best(name)
        entry: PlainDict = {"final": final[name]} if name in final else {}
        if len(series) > 1:
            entry["last"] = series[-1][1]
            if best is not None:
                entry["best"], entry["best_step"] = best[1], best[0]
        elif not entry and series:
            entry["last"] = series[-1][1]
        result[name] = entry
    return result


def comparison(runs: list[RunSummary], metrics: Sequence[str] = ()) -> list[PlainDict]:
    """Returns one object per run: what it is, its changed settings, its metrics, and those in which it is the best.

    Args:
        runs: What is compared.
        metrics: Only these; all where there are none.
    """
    changed = changed_settings(runs)
    found = [{n: entry for n, entry in measured(run).items() if _is_asked_for(n, metrics)} for run in runs]
    best = best_runs(runs, found)
    return [
        {
            "name": run.name,
            "run": run.folder.label,
            "status": run.info.get("status"),
            "stop_reason": run.info.get("stop_reason"),
            "step": run.step,
            "seconds": run.seconds,
            "parameters": run.info.get("parameters"),
            "changed": {key: values[i] for key, values in changed.items()},
            "metrics": found[i],
            "best_in": [name for name, which in best.items() if i in which],
        }
        for i, run in enumerate(runs)
    ]


def _is_asked_for(name: str, metrics: Sequence[str]) -> bool:
    """Whether ``split/metric`` is one of `metrics`, which may leave the split out; all are where there are none."""
    return not metrics or name in metrics or name.partition("/")[2] in metrics


def best_runs(runs: list[RunSummary], metrics: list[dict[str, PlainDict]]) -> dict[str, set[int]]:
    """Returns the places of the runs that have the best value, for each row of a metric.

    The row with the metric's own name has the final values, or the last ones of a run without. Nothing is marked where
    no run records whether more is better, where the runs disagree about it, and where all are the same.
    """
    found: dict[str, set[int]] = {}
    for name in dict.fromkeys(name for one in metrics for name in one):
        entries = [one.get(name, {}) for one in metrics]
        senses = {runs[i].higher_is_better(name) for i, entry in enumerate(entries) if entry} - {None}
        if len(senses) == 1:
            found[name] = _places([e.get("final", e.get("last")) for e in entries], (more := senses.pop()))
            found[f"{name}, last"] = _places([e.get("last") for e in entries], more)
            found[f"{name}, best (step)"] = _places([e.get("best") for e in entries], more)
    return found


def _places(values: list[float | None], more: bool | None) -> set[int]:
    """Returns the indices of the best values; none if all are the same."""
    numbers = [value for value in values if value is not None]
    if len(set(numbers)) < 2:
        return set()
    best = max(numbers) if more else min(numbers)
    return {i for i, value in enumerate(values) if value == best}


def table(runs: list[RunSummary], metrics: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Returns the rows of the comparison: what is compared, then one text per run. `MARK` is on the best values."""
    objects = comparison(runs, metrics)
    rows: list[tuple[str, ...]] = []
    for key in objects[0]["changed"] if objects else ():
        rows.append((key, *(plain_text(o["changed"][key]) for o in objects)))
    rows.append(("status", *map(_status, objects)))
    for key, shown in (("step", _count), ("parameters", _count), ("seconds", duration)):
        rows.append((_TITLES.get(key, key), *(shown(o[key]) for o in objects)))
    for name in dict.fromkeys(name for o in objects for name in o["metrics"]):
        rows += _metric_rows(name, objects)
    return rows


def _metric_rows(name: str, objects: list[PlainDict]) -> list[tuple[str, ...]]:
    entries = [o["metrics"].get(name, {}) for o in objects]
    rows: list[tuple[str, list[str]]] = []
    if any("final" in e or "best" not in e for e in entries if e):
        rows.append((name, [_value(e, "final" if "final" in e else "last") for e in entries]))
    if any("best" in e for e in entries):
        rows.append((f"{name}, last", [_value(e, "last") for e in entries]))
        rows.append((f"{name}, best (step)", [*map(_best, entries)]))
    return [
        (title, *(_marked(cell, title in o["best_in"]) for cell, o in zip(cells, objects, strict=True)))
        for title, cells in rows
    ]


def _marked(cell: str, best: bool) -> str:
    return f"{cell} {MARK}" if best else cell


_TITLES = {"step": "steps", "seconds": "time"}
MARK = "*"
"""Marks the best value of a row."""


def _status(run: PlainDict) -> str:
    """Returns how the run ended, and why where it was stopped early."""
    status = run["status"] or ABSENT
    return f"{status}: {run['stop_reason']}" if run["stop_reason"] else status


def _count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def _value(entry: PlainDict, key: str) -> str:
    return number(entry[key]) if key in entry else ABSENT


def _best(entry: PlainDict) -> str:
    return f"{number(entry['best'])} ({entry['best_step']:,})" if "best" in entry else ABSENT
