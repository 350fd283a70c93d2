"""The files that a search writes after each iteration: a table, two figures, and the best student's recipe."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
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


def write_report(out: Path, recipe: str, students: Sequence[Student], teacher_parameters: int, metric: str) -> None:
    """Writes ``students.csv``, ``rewards.png``, ``pareto.png`` and ``best.yaml``."""
    head = ["stage", "iteration", "sizes", "parameters", "compression", metric, "reward"]
    rows = [
        [s.stage, s.iteration, s.name, s.parameters, 1 - s.parameters / teacher_parameters, s.score, s.reward]
        for s in students
    ]
    write_csv(out / "students.csv", head, rows)
    best = max(students, key=lambda s: s.reward)
    tree: dict[str, Any] = {}
    for key, values in best.architecture.sizes:
        *above, last = key.split(".")
        inner = tree
        for name in above:
            inner = inner.setdefault(name, {})
        inner[last] = list(values)
    base = str(Path(recipe).resolve()) if recipe.endswith((".yaml", ".yml")) else recipe
    lines = ["rk: 1", f"extends: {json.dumps(base)}", *(f"{k}: {json.dumps(v)}" for k, v in tree.items()), "expect: []"]
    about = f"# The best student of {len(students)} rollouts: {best.parameters} of {teacher_parameters} parameters.\n"
    write_atomic(out / "best.yaml", about + "\n".join(lines) + "\n")
    _draw_rewards(students, out / "rewards.png")
    _draw_pareto(students, teacher_parameters, metric, out / "pareto.png")


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
