"""The verdict on a claim, from the numbers of one or several seeds. docs/runs.md has the definitions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from rk.recipe.sections import Expect
from rk.record import made, record
from rk.report.seeds import Difference, Interval, mean_interval, paired

PAPER = "paper reached"
ORDER = "in order"
OWN_BAR = "own bar only"
REFUTED = "refuted here"
UNTESTABLE = "not testable here"
NOT_SHOWN = "not shown"
NOT_REACHED = "NOT REACHED"
UNCLAIMED = ""
"""The verdict on a claim that has neither a bar nor the paper's number nor a baseline."""

MEANINGS = {
    PAPER: "the mean is as good as the paper's number, or its interval holds it",
    ORDER: "the method beats its baseline in a paired test over seeds, but has not reached the paper's number, if any",
    OWN_BAR: "the mean keeps the recipe's own bar, and nothing more is shown",
    REFUTED: "the numbers contradict the claim; the cause is given",
    UNTESTABLE: "it was not run; the cost is given",
    NOT_SHOWN: "neither the paper's number nor the order is shown, and there is no bar",
    NOT_REACHED: "the recipe's own bar is missed",
}
"""Verdict -> what it means, from the best to the worst."""

RANKS = {verdict: rank for rank, verdict in enumerate((UNCLAIMED, *MEANINGS))}


@record
class Sample:
    """The numbers of one recipe.

    Attributes:
        metrics: Metric -> seed -> value; None where a run gave no number.
        higher_is_better: Metric without its split -> whether more is better.
    """

    metrics: Mapping[str, Mapping[int, float | None]]
    higher_is_better: Mapping[str, bool] = made(default_factory=dict)

    @property
    def means(self) -> dict[str, float | None]:
        return {name: self.mean(name) for name in self.metrics}

    def numbers(self, metric: str) -> list[float] | None:
        """Returns one number per seed; None when one of them is missing or not finite."""
        found = [v for v in self.metrics.get(metric, {}).values() if v is not None and math.isfinite(v)]
        return found if found and len(found) == len(self.metrics[metric]) else None

    def mean(self, metric: str) -> float | None:
        numbers = self.numbers(metric)
        return None if numbers is None else fmean(numbers)

    def more(self, metric: str) -> bool:
        """Returns whether more of a metric is better: so it is where nothing is known, except for the loss."""
        name = metric.partition("/")[2].partition("@")[0]
        return self.higher_is_better.get(name, name != "loss")


@record
class Verdict:
    """What became of a claim on one metric.

    Attributes:
        text: One of `MEANINGS`.
        interval: The interval of the mean; None with a single seed.
        difference: The difference to the baseline; None where no two seeds can be compared.
    """

    text: str
    interval: Interval | None = None
    difference: Difference | None = None

    @property
    def rank(self) -> int:
        """The better the verdict, the smaller."""
        return RANKS[self.text]


def verdict(claim: Expect, metric: str, own: Sample, baseline: Sample | None = None) -> Verdict:
    """Returns the verdict on a claim about one metric.

    Args:
        claim: The claim.
        metric: The metric, which may be one of several that the claim is about.
        own: The numbers of the recipe that claims it.
        baseline: Those of its baseline; None where the claim has none, or for one run alone: then nothing is compared.
    """
    numbers = own.numbers(metric)
    interval = mean_interval(numbers) if numbers else None
    difference = None
    if baseline is not None and metric in baseline.metrics:
        more = own.more(metric)
        difference = paired(own.metrics.get(metric, {}), baseline.metrics[metric], more, claim.margin(more))
    return Verdict(_text(claim, metric, own, baseline, interval, difference), interval, difference)


def _text(
    claim: Expect,
    metric: str,
    own: Sample,
    baseline: Sample | None,
    interval: Interval | None,
    difference: Difference | None,
) -> str:
    """Returns the first verdict, in this order, that the numbers allow."""
    if own.mean(metric) is None:
        return NOT_REACHED
    if not claim.bound() and claim.paper is None and claim.baseline is None:
        return UNCLAIMED
    kept = _keeps_bar(claim, metric, own, baseline)
    if kept is False:
        return REFUTED if claim.refuted else NOT_REACHED
    if _reaches_paper(claim, metric, own, interval):
        return PAPER
    if difference is not None and difference.shown:
        return ORDER
    if difference is not None and difference.reversed and kept is None:
        return REFUTED
    if claim.refuted and interval is not None and not _includes_paper(claim, metric, own, interval):
        return REFUTED
    return OWN_BAR if kept else NOT_SHOWN


def _keeps_bar(claim: Expect, metric: str, own: Sample, baseline: Sample | None) -> bool | None:
    """Returns whether the mean keeps the recipe's own bar; None when there is none."""
    mean = own.mean(metric)
    kept = [claim.met(mean, own.means)]
    if claim.compares and baseline is not None:
        others = baseline.metrics.get(metric)
        kept.append(others is not None and _beats(mean, [*others.values()], claim, own.more(metric)))
    known = [one for one in kept if one is not None]
    return all(known) if known else None


def _reaches_paper(claim: Expect, metric: str, own: Sample, interval: Interval | None) -> bool:
    """Whether the mean is as good as the paper's number, as far as its interval shows.

    The interval must not be on the wrong side of the paper's number, and must not include the recipe's own bar: one
    that holds both does not show whether the number was reached. Without a bar, or with a single seed, the mean itself
    must be as good.
    """
    mean = own.mean(metric)
    if claim.paper is None or claim.differs or mean is None:
        return False
    more = claim.wants_more(own.more(metric))
    good = mean >= claim.paper if more else mean <= claim.paper
    if interval is None or not claim.bound():
        return good
    worst = interval.low if more else interval.high
    return _includes_paper(claim, metric, own, interval) and claim.met(worst, own.means) is True


def _includes_paper(claim: Expect, metric: str, own: Sample, interval: Interval) -> bool:
    """Whether the paper's number is within the interval, or the interval is better."""
    if claim.paper is None or claim.differs:
        return True
    return interval.high >= claim.paper if claim.wants_more(own.more(metric)) else interval.low <= claim.paper


def _beats(value: float | None, others: list[float | None], claim: Expect, more: bool) -> bool:
    """Whether `value` is as much better than the others' mean as is claimed; `more`: whether more is better."""
    known = [one for one in others if one is not None and math.isfinite(one)]
    if value is None or not known:  # a baseline that gave no number at all is beaten by any
        return value is not None
    other = fmean(known)
    wanted = []
    if claim.times_baseline is not None:
        wanted.append(claim.times_baseline * other)
    if claim.better_by is not None:
        wanted.append(other + claim.better_by if more else other - claim.better_by)
    return all(value >= bound if more else value <= bound for bound in wanted)
