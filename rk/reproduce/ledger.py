"""The ledger: every claim, what the paper has, what was reached, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rk.recipe.sections import Expect
from rk.record import record
from rk.report.claims import OTHER_DATA, UNMEASURED
from rk.report.text import number
from rk.report.verdicts import NOT_REACHED, RANKS, REFUTED, UNTESTABLE, Verdict, verdict
from rk.reproduce.plan import Reproduction
from rk.reproduce.results import Measured
from rk.values import PlainDict

MISSING, OLD = "NOT RUN", "OLDER RECIPE"
FAILING = (NOT_REACHED, MISSING, OLD)
"""Verdicts with which `rk reproduce` exits with 3."""
NO_CAUSE = "no cause is written: give the claim `refuted`"

STALE_CAUSE = "the claim has a cause under `refuted`, and the numbers do not refute it"


@record
class Line:
    """One claim.

    Attributes:
        recipe: Full name of the recipe.
        claim: The claim as text.
        where: Where in the paper.
        paper: The paper's value.
        reached: The mean over the seeds, and their standard deviation.
        seeds: How many.
        baseline: The baseline's name and value.
        verdict: One of `rk.report.verdicts.MEANINGS`; or not run, run with an older recipe, about other data.
        metric: The metric; of several, the one that is shown.
        bar: The recipe's own bar.
        interval: The interval of the mean.
        difference: How much better than the baseline, with its interval and the p value.
        why: The cause of a refutation, or the cost of a test.
        differs: What the paper measured otherwise.
        pairs: How many seeds of the recipe and its baseline were compared.
    """

    recipe: str
    claim: str
    where: str
    paper: str
    reached: str
    seeds: str
    baseline: str
    verdict: str
    metric: str = ""
    bar: str = ""
    interval: str = ""
    difference: str = ""
    why: str = ""
    differs: str = ""
    pairs: int = 0

    @property
    def holds(self) -> bool:
        return self.verdict not in FAILING

    @property
    def is_published(self) -> bool:
        """Whether the paper has a number that can be compared with."""
        return bool(self.paper) and not self.differs

    @property
    def is_single(self) -> bool:
        return self.seeds == "1"

    @property
    def shown(self) -> str:
        """What was reached, with the number of seeds."""
        if not self.seeds or self.reached == UNMEASURED:
            return self.reached
        return f"{self.reached} ({'single seed' if self.is_single else f'{self.seeds} seeds'})"

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
    metric, found = _judged(item, claim, results, current)
    shown = f"{number(other.mean(metric))} ({name.removeprefix(own_plugin)})" if other and name else name or ""
    return Line(
        item.file.name,
        " ".join(part for part in (claim.metric, _bar(claim)) if part),
        claim.note or "",
        "" if claim.paper is None else number(claim.paper),
        _value(own, metric) + (f" ({metric.partition('/')[0]})" if metric != claim.metric else "") if own else "",
        str(len(own.seeds)) if own else "",
        shown,
        found.text,
        metric,
        _bar(claim),
        str(found.interval or ""),
        _difference(claim, metric, found, other),
        _why(claim, found.text),
        claim.differs or "",
        found.difference.seeds if found.difference else 0,
    )


def _difference(claim: Expect, metric: str, found: Verdict, other: Measured | None) -> str:
    """Returns the difference as text, or why there is none."""
    if found.difference is None:
        known = found.text in RANKS and other is not None and other.has(metric)
        return "fewer than two seeds in common" if known else ""
    margin = claim.margin(other.higher_is_better(metric)) if other else 1
    return f"{found.difference}" + ("" if margin == 1 else f", to {margin:g}x")


def _bar(claim: Expect) -> str:
    return " and ".join(part for part in (claim.bound(), claim.comparison()) if part)


def _why(claim: Expect, verdict: str) -> str:
    """Returns the cause or the cost that goes with the verdict."""
    if verdict == REFUTED:
        return claim.refuted or NO_CAUSE
    if verdict == UNTESTABLE:
        return claim.cost or ""
    return STALE_CAUSE if claim.refuted and verdict in RANKS and verdict != NOT_REACHED else ""


def _judged(
    item: Reproduction, claim: Expect, results: Mapping[str, Measured], current: Mapping[str, bool]
) -> tuple[str, Verdict]:
    """Returns the metric that is shown, and its verdict: of several metrics the one with the worst."""
    own, name = results.get(item.file.name), item.baseline_of(claim)
    other = results.get(name) if name else None
    shown = _worst(own, claim, claim.among(own.values["metrics"])) if own else claim.metric
    if not claim.applies:
        return shown, Verdict(OTHER_DATA)
    if own is None or (name and other is None):
        return shown, Verdict(UNTESTABLE if claim.cost else MISSING)
    if not all(current[wanted] for wanted in (item.file.name, name) if wanted):
        return shown, Verdict(OLD)
    found = {
        metric: verdict(claim, metric, own.sample, other.sample if other else None)
        for metric in claim.among(own.values["metrics"])
    }
    if not found:
        return claim.metric, Verdict(UNTESTABLE if claim.cost else NOT_REACHED)
    worst = max(one.rank for one in found.values())
    metric = _worst(own, claim, [name for name, one in found.items() if one.rank == worst])
    return metric, found[metric]


def _worst(measured: Measured, claim: Expect, metrics: list[str]) -> str:
    """Returns the one of the metrics whose mean is the furthest from the claim."""
    if not metrics:
        return claim.metric
    more = claim.wants_more(measured.higher_is_better(metrics[0]))
    worst = -math.inf if more else math.inf

    def value(name: str) -> float:
        mean = measured.mean(name)
        return worst if mean is None else mean

    return (min if more else max)(metrics, key=value)


def _value(measured: Measured, metric: str) -> str:
    if not measured.has(metric):
        return UNMEASURED
    spread = measured.spread(metric)
    return number(measured.mean(metric)) + (f" ± {spread:.2g}" if spread is not None else "")
