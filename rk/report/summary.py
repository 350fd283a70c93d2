"""A summary of a run from its folder, without loading the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rk.recipe.sections import Expect
from rk.recipe.stored import stored_values
from rk.report.claims import Judged, judge
from rk.report.text import titled
from rk.runs import RunFolder
from rk.values import PlainDict

Series = list[tuple[int, float]]
"""(step, value), in the order of the steps; values that are not numbers are left out."""


LOGGED = "train/"
"""Prefix of the names of logged metrics."""


class RunSummary:
    """A run as described by its folder.

    Attributes:
        folder: The run folder.
        info: ``run.json``.
        recipe: The stored recipe as plain values; empty for an analysis.
        series: ``split/metric`` -> its values over the run; what the steps logged is ``train/...``.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.info: PlainDict = folder.read()
        self.recipe: PlainDict = stored_values(folder)
        self.series: dict[str, Series] = {}
        for line in folder.metrics():
            step = line.get("step")
            for name, value in line.items():
                if "/" in name and isinstance(value, int | float) and isinstance(step, int):
                    self.series.setdefault(name, []).append((step, value))

    @property
    def name(self) -> str:
        return self.info.get("name") or self.folder.path.name

    @property
    def title(self) -> str:
        """The recipe's name and what the command line changed of it."""
        return titled(self.name, self.info.get("overrides") or ())

    @property
    def metrics(self) -> dict[str, float | None]:
        """The final metrics, those of the last validation while there are none; claims on what steps logged."""
        last = {name: values[-1][1] for name, values in self.series.items()}
        found = self.info.get("metrics") or {k: v for k, v in last.items() if not k.startswith(LOGGED)}
        return {**found, **{name: last[name] for name in _logged_claims(self.expect) if name in last}}

    @property
    def judged(self) -> list[Judged]:
        """The final metrics beside the claims; what is not measured counts only once the run is done."""
        rows = judge(self.metrics, self.expect, self.info.get("higher_is_better"))
        return rows if self.info.get("status") == "done" else [row for row in rows if row.measured]

    @property
    def seconds(self) -> float | None:
        return self.info.get("seconds")

    @property
    def step(self) -> int | None:
        """Steps that were done; of a run without an end, those that it wrote down."""
        step: int | None = self.info.get("step")
        if step is not None:
            return step
        return max((values[-1][0] for values in self.series.values()), default=None)

    @property
    def expect(self) -> list[Expect]:
        """The recipe's claims."""
        return [Expect.from_plain(claim) for claim in self.recipe.get("expect", [])]

    def higher_is_better(self, metric: str) -> bool | None:
        """Whether more of ``split/metric`` is better; None when the run does not record it."""
        return (self.info.get("higher_is_better") or {}).get(metric.partition("/")[2].partition("@")[0])

    def best(self, metric: str) -> tuple[int, float] | None:
        """Returns (step, value) of the best of a series; None when there is none, or the direction is not known."""
        values, more = self.series.get(metric), self.higher_is_better(metric)
        if not values or more is None:
            return None
        return (max if more else min)(values, key=lambda point: point[1])


def _logged_claims(expect: Iterable[Expect]) -> list[str]:
    return [claim.metric for claim in expect if claim.metric.startswith(LOGGED)]


def claimed_metrics(
    metrics: Mapping[str, float | None], expect: Iterable[Expect], folder: RunFolder
) -> dict[str, float | None]:
    """Returns final metrics and, of claims on ``train/...``, the last value that the run logged.

    Each logged value is a mean over the steps since the line before it (`fit.log_every`).
    """
    wanted = _logged_claims(expect)
    return {**metrics, **last_logged(folder, wanted)} if wanted else dict(metrics)


def last_logged(folder: RunFolder, names: Iterable[str]) -> dict[str, float]:
    """Returns the last value in ``metrics.jsonl`` of each of these names that has one."""
    wanted = set(names)
    found: dict[str, float] = {}
    for line in folder.metrics() if wanted else ():
        found |= {name: line[name] for name in wanted & line.keys() if isinstance(line[name], int | float)}
    return found
