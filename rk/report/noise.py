"""Runs of the same settings with several seeds: which differences between settings are noise."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from rk.record import record
from rk.report.compare import changed_values, run_settings, seed_of
from rk.report.labels import run_labels
from rk.report.seeds import Difference, paired, unpaired
from rk.report.summary import RunSummary
from rk.report.text import number
from rk.values import PlainDict

NOISE, BEST = "~", "*"
"""Marks a mean that cannot be distinguished from the best one; marks the best mean."""
SINGLE = "single seeds cannot distinguish a difference from noise: train each with more seeds"


@record
class Group:
    """Runs that differ in their seed alone.

    Attributes:
        label: What distinguishes it from the other groups.
        runs: Seed -> its newest run.
    """

    label: str
    runs: dict[int, RunSummary]

    def values(self, metric: str) -> dict[int, float | None]:
        """Returns seed -> the final value."""
        return {seed: run.metrics[metric] for seed, run in self.runs.items() if metric in run.metrics}

    def numbers(self, metric: str) -> list[float]:
        return [value for value in self.values(metric).values() if value is not None and value == value]


def groups(runs: Sequence[RunSummary]) -> list[Group]:
    """Returns the finished runs by their settings without the seed, in the order of the first of each."""
    found: list[tuple[PlainDict, dict[int, RunSummary]]] = []
    for run in runs:
        if run.info.get("status") != "done":
            continue
        settings = run_settings(run)
        settings.pop("fit.seed", None)
        known = next((own for other, own in found if not changed_values([settings, other])), None)
        if known is None:
            known = {}
            found.append((settings, known))
        known[seed_of(run)] = run
    labels = run_labels([own[min(own)] for _, own in found])
    return [Group(label, own) for label, (_, own) in zip(labels, found, strict=True)]


@record
class Compared:
    """One metric in all groups.

    Attributes:
        metric: ``split/metric``.
        best: The place of the group with the best mean.
        differences: How much worse each group is than the best; None where there are too few seeds.
    """

    metric: str
    best: int
    differences: list[Difference | None]

    def is_noise(self, place: int) -> bool:
        """Whether that group cannot be distinguished from the best: the interval of the difference includes 0."""
        found = self.differences[place]
        return found is not None and found.is_noise


def compared(found: Sequence[Group], metrics: Sequence[str] = ()) -> list[Compared]:
    """Returns each final metric that two groups have and whose better side is known.

    Seeds that both groups have are compared in pairs, else the means by Welch's interval.

    Args:
        found: The groups.
        metrics: Only these, with their split or without; all where there are none.
    """
    names = dict.fromkeys(name for group in found for run in group.runs.values() for name in run.metrics)
    rows = []
    for name in names:
        if metrics and name not in metrics and name.partition("/")[2] not in metrics:
            continue
        senses = {run.higher_is_better(name) for group in found for run in group.runs.values()} - {None}
        means = {place: fmean(n) for place, group in enumerate(found) if (n := group.numbers(name))}
        if len(senses) != 1 or len(means) < 2:
            continue
        more = bool(senses.pop())
        best = (max if more else min)(means, key=means.__getitem__)
        rows.append(Compared(name, best, [_difference(found[best], group, name, more) for group in found]))
    return rows


def _difference(best: Group, other: Group, metric: str, more: bool) -> Difference | None:
    if other is best:
        return None
    pairs = paired(best.values(metric), other.values(metric), more)
    return pairs or unpaired(best.numbers(metric), other.numbers(metric), more)


def noise_in(runs: Sequence[RunSummary], metrics: Sequence[str] = ()) -> list[list[str]]:
    """Returns, for each run, the metrics in which its settings cannot be distinguished from the best ones."""
    found = groups(runs)
    rows = compared(found, metrics)
    settings = [{id(run) for run in group.runs.values()} for group in found]
    return [
        [row.metric for row in rows for place, own in enumerate(settings) if id(run) in own and row.is_noise(place)]
        for run in runs
    ]


def noise_table(found: Sequence[Group], rows: Sequence[Compared]) -> list[tuple[str, ...]]:
    """Returns a row for each metric: the mean and spread of each group, marked; with two groups, the difference."""
    table = []
    for row in rows:
        cells = [_cell(group, row, place) for place, group in enumerate(found)]
        if len(found) == 2:
            difference = row.differences[1 - row.best]
            cells.append(str(difference) if difference is not None else "")
        table.append((row.metric, *cells))
    return table


def _cell(group: Group, row: Compared, place: int) -> str:
    numbers = group.numbers(row.metric)
    if not numbers:
        return "-"
    if len(numbers) == 1:
        return f"{number(numbers[0])} (single seed)"
    mark = f" {BEST}" if place == row.best else f" {NOISE}" if row.is_noise(place) else ""
    return f"{number(fmean(numbers))} ± {stdev(numbers):.2g}{mark}"
