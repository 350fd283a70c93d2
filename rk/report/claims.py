"""A run's final numbers beside what its recipe expects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rk.recipe.sections import Expect
from rk.record import record
from rk.report.text import number
from rk.report.verdicts import NOT_REACHED, ORDER, OWN_BAR, PAPER, REFUTED, UNTESTABLE, Sample, verdict

OTHER_DATA = "not applicable: other data"
COMPARED = "rk reproduce compares"
"""The verdict of one run on a claim that compares it with its baseline."""
UNMEASURED = "not measured"
OF_ONE_SEED = "verdict (single seed)"
"""The head of the column of verdicts on one run."""


@record
class Judged:
    """One line of the table that a run ends with; texts are empty where nothing is claimed."""

    metric: str
    value: float | None
    bar: str = ""
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
        return {PAPER: "good", ORDER: "good", OWN_BAR: "good", NOT_REACHED: "bad", REFUTED: "bad"}.get(self.verdict, "")


def judge(
    metrics: Mapping[str, float | None], expect: Iterable[Expect], higher_is_better: Mapping[str, bool] | None = None
) -> list[Judged]:
    """Returns a line per metric, in their order, with one more for each further claim on it; then unmeasured claims.

    A claim on a bound and on a baseline has a line for each: one run alone keeps a bound, and only that. A claim on
    several metrics (``test-*/accuracy``) has a line for each of them.

    Args:
        metrics: What one run reached.
        expect: The claims.
        higher_is_better: Metric without its split -> whether more is better. It matters only for claims that have the
            paper's number and no bar.
    """
    own = Sample({name: {0: value} for name, value in metrics.items()}, higher_is_better or {})
    claims: dict[str, list[Expect]] = {}
    unmeasured = []
    for claim in expect:
        names = claim.among(metrics)
        for name in names:
            claims.setdefault(name, []).append(claim)
        unmeasured += [] if names else [_unmeasured(claim)]
    rows: list[Judged] = []
    for metric in metrics:
        rows += [row for claim in claims.get(metric, []) for row in _lines(metric, claim, own)]
        rows += [] if metric in claims else [Judged(metric, metrics[metric])]
    return rows + unmeasured


def _lines(metric: str, claim: Expect, own: Sample) -> list[Judged]:
    value, paper = own.metrics.get(metric, {}).get(0), number(claim.paper) if claim.paper is not None else ""
    said = verdict(claim, metric, own).text if claim.applies else OTHER_DATA
    if claim.applies and claim.baseline and not claim.bound() and claim.paper is None:
        said = COMPARED
    rows = [Judged(metric, value, claim.bound(), paper, said, claim.note or "")]
    if claim.compares:
        other = COMPARED if claim.applies else OTHER_DATA
        compared = Judged(metric, value, claim.comparison(claim.baseline or "the baseline"), paper, other)
        rows = [*rows, compared] if claim.bound() else [_with_note(compared, claim)]
    return rows


def _with_note(row: Judged, claim: Expect) -> Judged:
    return Judged(row.metric, row.value, row.bar, row.paper, row.verdict, claim.note or "")


def _unmeasured(claim: Expect) -> Judged:
    (row, *_) = _lines(claim.metric, claim, Sample({}))
    said = OTHER_DATA if not claim.applies else UNTESTABLE if claim.cost else NOT_REACHED
    return Judged(row.metric, None, row.bar, row.paper, said, row.note, measured=False)


def results_table(judged: Sequence[Judged]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns the heads and the rows of the table; columns without content are left out.

    Notes are shown where two claims would look alike without them.
    """
    rows: list[tuple[str, ...]] = [(row.metric, row.shown, row.paper, row.bar, row.verdict) for row in judged]
    heads: tuple[str, ...] = ("metric", "value", "paper", "bar", OF_ONE_SEED)
    if len({row[:4] for row in rows}) < len(rows):
        heads, rows = (*heads, "note"), [(*row, one.note) for row, one in zip(rows, judged, strict=True)]
    kept = [i for i in range(len(heads)) if i < 2 or any(row[i] for row in rows)]
    return tuple(heads[i] for i in kept), [tuple(row[i] for i in kept) for row in rows]
