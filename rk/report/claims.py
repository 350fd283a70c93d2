"""A run's final numbers beside what its recipe expects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rk.recipe.sections import Expect
from rk.record import record
from rk.report.text import number

REACHED, NOT_REACHED = "reached", "NOT REACHED"
OTHER_DATA = "not applicable: other data"
COMPARED = "rk reproduce compares"
"""The verdict of one run on a claim that compares it with its baseline."""
UNMEASURED = "not measured"


@record
class Judged:
    """One line of the table that a run ends with; texts are empty where nothing is claimed."""

    metric: str
    value: float | None
    expected: str = ""
    paper: str = ""
    verdict: str = ""
    note: str = ""
    measured: bool = True

    @property
    def shown(self) -> str:
        return number(self.value) if self.measured else UNMEASURED

    @property
    def tone(self) -> str:
        """Returns whether the verdict is ``good``, ``bad`` or neither."""
        return {REACHED: "good", NOT_REACHED: "bad"}.get(self.verdict, "")


def verdict(met: bool | None) -> str:
    return "" if met is None else REACHED if met else NOT_REACHED


def judge(metrics: Mapping[str, float | None], expect: Iterable[Expect]) -> list[Judged]:
    """Returns a line per metric, in their order, with one more for each further claim on it; then unmeasured claims.

    A claim on a bound and on a baseline has a line for each: one run alone keeps a bound, and only that. A claim on
    several metrics (``test-*/accuracy``) has a line for each of them.
    """
    claims: dict[str, list[Expect]] = {}
    unmeasured = []
    for claim in expect:
        names = claim.among(metrics)
        for name in names:
            claims.setdefault(name, []).append(claim)
        unmeasured += [] if names else [_unmeasured(claim)]
    rows: list[Judged] = []
    for metric in metrics:
        rows += [row for claim in claims.get(metric, []) for row in _lines(metric, claim, metrics)]
        rows += [] if metric in claims else [Judged(metric, metrics[metric])]
    return rows + unmeasured


def _lines(metric: str, claim: Expect, metrics: Mapping[str, float | None]) -> list[Judged]:
    value, paper = metrics.get(metric), number(claim.paper) if claim.paper is not None else ""
    said = verdict(claim.met(value, metrics)) if claim.applies else OTHER_DATA
    rows = [Judged(metric, value, claim.bound(), paper, said, claim.note or "")]
    if claim.compares:
        other = COMPARED if claim.applies else OTHER_DATA
        compared = Judged(metric, value, claim.comparison(claim.baseline or "the baseline"), paper, other)
        rows = [*rows, compared] if claim.bound() else [_with_note(compared, claim)]
    return rows


def _with_note(row: Judged, claim: Expect) -> Judged:
    return Judged(row.metric, row.value, row.expected, row.paper, row.verdict, claim.note or "")


def _unmeasured(claim: Expect) -> Judged:
    (row, *_) = _lines(claim.metric, claim, {})
    said = NOT_REACHED if claim.applies else OTHER_DATA
    return Judged(row.metric, None, row.expected, row.paper, said, row.note, measured=False)


def results_table(judged: Sequence[Judged]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns the heads and the rows of the table; columns without content are left out.

    Notes are shown where two claims would look alike without them.
    """
    rows: list[tuple[str, ...]] = [(row.metric, row.shown, row.expected, row.paper, row.verdict) for row in judged]
    heads: tuple[str, ...] = ("metric", "value", "expected", "paper", "verdict")
    if len({row[:4] for row in rows}) < len(rows):
        heads, rows = (*heads, "note"), [(*row, one.note) for row, one in zip(rows, judged, strict=True)]
    kept = [i for i in range(len(heads)) if i < 2 or any(row[i] for row in rows)]
    return tuple(heads[i] for i in kept), [tuple(row[i] for i in kept) for row in rows]
