"""A run's final numbers beside what its recipe expects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rk.recipe.sections import Expect
from rk.record import record
from rk.report.text import number

REACHED, NOT_REACHED = "reached", "NOT REACHED"


@record
class Judged:
    """One line of the table that a run ends with; texts are empty where nothing is claimed."""

    metric: str
    value: float | None
    expected: str = ""
    paper: str = ""
    verdict: str = ""
    note: str = ""

    @property
    def shown(self) -> str:
        return number(self.value)


def verdict(met: bool | None) -> str:
    return "" if met is None else REACHED if met else NOT_REACHED


def judge(metrics: Mapping[str, float | None], expect: Iterable[Expect]) -> list[Judged]:
    """Returns a line per metric, in their order, and one more for each further claim on it."""
    claims: dict[str, list[Expect]] = {}
    for claim in expect:
        claims.setdefault(claim.metric, []).append(claim)
    rows: list[Judged] = []
    for metric, value in metrics.items():
        rows += [_line(value, claim) for claim in claims.get(metric, [])] or [Judged(metric, value)]
    return rows


def _line(value: float | None, claim: Expect) -> Judged:
    paper = number(claim.paper) if claim.paper is not None else ""
    return Judged(claim.metric, value, claim.bound(), paper, verdict(claim.met(value)), claim.note or "")
