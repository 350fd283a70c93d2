"""The ledger: every claim, what the paper has, what was reached, and whether the claim holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from rk.recipe.sections import Expect
from rk.record import record
from rk.report.claims import NOT_REACHED, OTHER_DATA, REACHED, UNMEASURED
from rk.report.text import number
from rk.reproduce.plan import Reproduction
from rk.reproduce.results import Measured
from rk.values import PlainDict

MISSING, OLD = "NOT RUN", "OLDER RECIPE"


@record
class Line:
    """One claim.

    Attributes:
        recipe: Full name of the recipe.
        claim: The claim as text.
        where: Where in the paper.
        paper: The paper's value.
        reached: The mean over the seeds, and its spread.
        seeds: How many.
        baseline: The baseline's name and value.
        verdict: Reached or not, not run, or run with an older recipe.
    """

    recipe: str
    claim: str
    where: str
    paper: str
    reached: str
    seeds: str
    baseline: str
    verdict: str

    @property
    def holds(self) -> bool:
        return self.verdict in ("", REACHED, OTHER_DATA)

    def plain(self) -> PlainDict:
        return {"name": self.recipe, **{k: v for k, v in vars(self).items() if k != "recipe"}}


def ledger(item: Reproduction, results: Mapping[str, Measured], current: Mapping[str, bool]) -> list[Line]:
    """Returns a line per claim.

    Args:
        item: The recipe with its claims.
        results: Recipe name -> what it reached.
        current: Recipe name -> whether that was the recipe as it is now.
    """
    return [_line(item, claim, results, current) for claim in item.recipe.expect]


def _line(item: Reproduction, claim: Expect, results: Mapping[str, Measured], current: Mapping[str, bool]) -> Line:
    own, name = results.get(item.file.name), item.baseline_of(claim)
    other = results.get(name) if name else None
    own_plugin = f"{item.file.name.rpartition('/')[0]}/"
    metric = _worst(own, claim) if own else claim.metric
    shown = f"{number(other.mean(metric))} ({name.removeprefix(own_plugin)})" if other and name else name or ""
    return Line(
        item.file.name,
        _claim(claim),
        claim.note or "",
        "" if claim.paper is None else number(claim.paper),
        _value(own, metric) + (f" ({metric.partition('/')[0]})" if metric != claim.metric else "") if own else "",
        str(len(own.seeds)) if own else "",
        shown,
        _verdict(item, claim, results, current),
    )


def _claim(claim: Expect) -> str:
    parts = (claim.bound(), claim.comparison())
    return " ".join([claim.metric, " and ".join(part for part in parts if part)]).strip()


def _worst(measured: Measured, claim: Expect) -> str:
    """Returns the one of the metrics that a claim is about whose mean is the furthest from it."""
    means = {name: measured.mean(name) for name in claim.among(measured.values["metrics"])}
    if not means:
        return claim.metric
    low = claim.at_least is not None or claim.at_least_times is not None
    bounded = low or claim.at_most is not None or claim.at_most_times is not None
    wants_more = low if bounded else measured.higher_is_better(next(iter(means)))
    worst = -math.inf if wants_more else math.inf

    def value(name: str) -> float:
        mean = means[name]
        return worst if mean is None else mean

    return (min if wants_more else max)(means, key=value)


def _value(measured: Measured, metric: str) -> str:
    if not measured.has(metric):
        return UNMEASURED
    spread = measured.spread(metric)
    return number(measured.mean(metric)) + (f" ± {spread:.2g}" if spread is not None else "")


def _verdict(item: Reproduction, claim: Expect, results: Mapping[str, Measured], current: Mapping[str, bool]) -> str:
    if not claim.applies:
        return OTHER_DATA
    name = item.baseline_of(claim)
    for wanted in (item.file.name, name):
        if wanted is not None and wanted not in results:
            return MISSING
        if wanted is not None and not current[wanted]:
            return OLD
    own = results[item.file.name]
    means = {metric: own.mean(metric) for metric in own.values["metrics"]}
    metrics = claim.among(means)
    if not metrics:
        return NOT_REACHED
    met = [claim.met(means[metric], means) for metric in metrics]
    if name is not None and claim.compares:
        for metric in metrics:
            others = results[name].values["metrics"].get(metric)
            met.append(others is not None and _beats(means[metric], others, claim, own.higher_is_better(metric)))
    known = [m for m in met if m is not None]
    return "" if not known else REACHED if all(known) else NOT_REACHED


def _beats(value: float | None, others: list[float | None], claim: Expect, more: bool) -> bool:
    """Whether `value` is as much better than the others' mean as is claimed; `more`: whether more is better."""
    numbers = [other for other in others if other is not None]
    if value is None or not numbers:  # a baseline that gave no number at all is beaten by any
        return value is not None
    other = fmean(numbers)
    wanted = []
    if claim.times_baseline is not None:
        wanted.append(claim.times_baseline * other)
    if claim.better_by is not None:
        wanted.append(other + claim.better_by if more else other - claim.better_by)
    return all(value >= bound if more else value <= bound for bound in wanted)
