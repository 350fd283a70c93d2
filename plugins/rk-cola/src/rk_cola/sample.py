"""One question with its targets: the answer, and the control's wrong answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rk_lm.layered import Path
from rk_lm.question import Question

from rk_cola.evaluations import Evaluation, Target
from rk_cola.mcts import Finding, Method

NO_LEVEL = "no level"
"""The level of questions that have none, where others have one."""


@dataclass(eq=False)
class PathSearch:
    """One search for one target.

    Attributes:
        target: What is looked for.
        method: What proposes paths.
        paths: What it has tried, in order; the full path first.
        over: Whether it has ended.
    """

    target: Target
    method: Method
    paths: list[Path] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    over: bool = False

    def observe(self, path: Path, finding: Finding) -> None:
        """Takes what became of the path that was proposed."""
        self.paths.append(path)
        self.findings.append(finding)
        self.method.observe(finding)

    @property
    def valid(self) -> list[Path]:
        """The paths that reach the target, the shortest first."""
        return sorted((p for p, f in zip(self.paths, self.findings, strict=True) if f.valid), key=lambda p: (len(p), p))

    @property
    def base(self) -> bool:
        """Whether the full path reaches the target."""
        return self.findings[0].valid

    @property
    def best(self) -> Path | None:
        """The shortest path that reaches the target."""
        return min(self.valid, key=len, default=None)


def best_of(searches: Iterable[PathSearch]) -> list[Path]:
    """Returns the shortest path of each of these searches that has reached its target."""
    return [best for path_search in searches if (best := path_search.best) is not None]


@dataclass(eq=False)
class Sample:
    """One question.

    Attributes:
        number: Its place in the data.
        question: What is asked.
        search: The search for the answer.
        control: The search for a wrong one; None where there is no other.
    """

    number: int
    question: Question
    search: PathSearch
    control: PathSearch | None

    @property
    def searches(self) -> list[PathSearch]:
        return [self.search] if self.control is None else [self.search, self.control]

    def judge(self, evaluation: Evaluation) -> bool:
        """Whether an evaluation has the right answer."""
        return self.search.target.judge(evaluation).valid


def by_level(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Returns the questions of each level, in the order of their names; nothing where no question has a level."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.question.level or NO_LEVEL, []).append(sample)
    return {} if found.keys() == {NO_LEVEL} else dict(sorted(found.items()))
