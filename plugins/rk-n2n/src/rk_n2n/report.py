"""The files that a search writes after each iteration: a table, two figures, and the best student's recipe."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rk.charts import chart, plain, save
from rk.writing import write_atomic, write_csv
from rk_n2n.architecture import Architecture


@dataclass(frozen=True)
class Student:
    """One rollout.

    Attributes:
        stage: ``removal`` or ``shrinkage``.
        iteration: From 0.
        architecture: Its sizes.
        parameters: How many it has.
        score: Its accuracy after the brief training.
        reward: What the policy learned from.
    """

    stage: str
    iteration: int
    architecture: Architecture
    parameters: int
    score: float
    reward: float

    @property
    def name(self) -> str:
        """Its sizes, for lines of text."""
        return " ".join(str(list(values)) for _, values in self.architecture.sizes)

    def plain(self) -> list[Any]:
        """Returns it as numbers, texts and lists, for checkpoints."""
        sizes = [[key, list(values)] for key, values in self.architecture.sizes]
        return [self.stage, self.iteration, sizes, self.parameters, self.score, self.reward]

    @classmethod
    def of_plain(cls, plain: Sequence[Any]) -> Student:
        """Returns the student of what `plain` has returned."""
        stage, iteration, sizes, *numbers = plain
        return cls(stage, iteration, Architecture.of(dict(sizes)), *numbers)


def write_report(
    out: Path,
    recipe: str,
    changed: Mapping[str, Any],
    students: Sequence[Student],
    teacher_parameters: int,
    metric: str,
) -> None:
    """Writes ``students.csv`` and ``best.yaml``.

    Args:
        out: The folder.
        recipe: The path of the teacher's recipe.
        changed: The sections of the recipe as the best student has them.
        students: All rollouts.
        teacher_parameters: How many the teacher has.
        metric: The accuracy.
    """
    head = ["stage", "iteration", "sizes", "parameters", "compression", metric, "reward"]
    rows = [
        [s.stage, s.iteration, s.name, s.parameters, 1 - s.parameters / teacher_parameters, s.score, s.reward]
        for s in students
    ]
    write_csv(out / "students.csv", head, rows)
    best = max(students, key=lambda s: s.reward)
    sections = [f"{key}: {json.dumps(value)}" for key, value in changed.items()]
    lines = ["rk: 1", f"extends: {json.dumps(recipe)}", *sections, "expect: []"]
    about = f"# The best student of {len(students)} rollouts: {best.parameters} of {teacher_parameters} parameters.\n"
    write_atomic(out / "best.yaml", about + "\n".join(lines) + "\n")


def draw_report(out: Path, students: Sequence[Student], teacher_parameters: int, metric: str) -> None:
    """Writes ``figures/rewards.png`` and ``figures/pareto.png``."""
    figures = out / "figures"
    figures.mkdir(exist_ok=True)
    _draw_rewards(students, figures / "rewards.png")
    _draw_pareto(students, teacher_parameters, metric, figures / "pareto.png")


def _draw_rewards(students: Sequence[Student], path: Path) -> None:
    with chart(5.0, 3.0) as (figure, axis):
        for stage in dict.fromkeys(s.stage for s in students):
            iterations = sorted({s.iteration for s in students if s.stage == stage})
            means = [
                statistics.fmean(s.reward for s in students if (s.stage, s.iteration) == (stage, i)) for i in iterations
            ]
            axis.plot(iterations, means, "o-", label=stage, markersize=3)
        axis.set_xlabel("iteration")
        axis.set_ylabel("mean reward")
        axis.legend()
        save(figure, path)


def _draw_pareto(students: Sequence[Student], teacher_parameters: int, metric: str, path: Path) -> None:
    with chart(5.0, 3.0) as (figure, axis):
        for stage in dict.fromkeys(s.stage for s in students):
            some = [s for s in students if s.stage == stage]
            axis.plot([s.parameters for s in some], [s.score for s in some], "o", label=stage, markersize=3)
        axis.axvline(teacher_parameters, linestyle="--", linewidth=1, color="0.5", label="teacher")
        axis.set_xscale("log")
        axis.set_xlabel("parameters")
        axis.set_ylabel(plain(metric))
        axis.legend()
        save(figure, path)
