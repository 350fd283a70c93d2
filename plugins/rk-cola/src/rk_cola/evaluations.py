"""Every evaluation of a run, in memory and in its folder: what was computed once is never computed again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from rk_lm.items import Scores
from rk_lm.layered import Path
from rk_lm.question import Question

from rk import UserError
from rk.writing import write_atomic
from rk_cola.mcts import Finding
from rk_cola.paths import path_text, read_path


@dataclass(frozen=True)
class Evaluation:
    """A path's result for a question's continuations: whether greedy decoding gives each, and its log-probability."""

    greedy: tuple[bool, ...]
    log_probs: tuple[float, ...]

    def mean_log_probs(self, lengths: Sequence[int]) -> list[float]:
        """Returns the log-probability per token of continuations of `lengths` tokens."""
        return [p / n for p, n in zip(self.log_probs, lengths, strict=True)]


@dataclass(frozen=True)
class Target:
    """The target of a search among the continuations of a question: the answer, or the wrong one of the control.

    Attributes:
        number: Which continuation.
        lengths: Tokens of each, for a multiple choice; None where the continuation has to be produced.
    """

    number: int
    lengths: tuple[int, ...] | None = None

    def judge(self, evaluation: Evaluation) -> Finding:
        """Returns whether the target was reached, and by how much."""
        if self.lengths is None:
            return Finding(evaluation.greedy[self.number], evaluation.log_probs[self.number])
        means = evaluation.mean_log_probs(self.lengths)
        margin = means[self.number] - max(m for i, m in enumerate(means) if i != self.number)
        return Finding(margin > 0, margin)


def targets(question: Question, wrong: str | None, lengths: tuple[int, ...]) -> tuple[Target, Target | None]:
    """Returns what the search and its control look for.

    Args:
        question: The question.
        wrong: The control's answer: one of the options, or, where there are none, the second continuation.
        lengths: Tokens of each continuation.
    """
    if question.options:
        right = Target(question.options.index(question.answer), lengths)
        return right, None if wrong is None else Target(question.options.index(wrong), lengths)
    return Target(0), None if wrong is None else Target(1)


class Evaluations:
    """Evaluations by question and path.

    Args:
        file: JSON lines, written as they come; None keeps them in memory only.
        head: What they depend on; the first line of the file. A file with another one is refused.
    """

    def __init__(self, file: FilePath | None = None, head: dict[str, Any] | None = None) -> None:
        self.file = file
        self.of: dict[int, dict[Path, Evaluation]] = defaultdict(dict)
        if file is None:
            return
        if file.exists():
            self._read(file, head or {})
        else:
            file.write_text(json.dumps(head or {}) + "\n", encoding="utf-8")

    def __len__(self) -> int:
        return sum(map(len, self.of.values()))

    def add(self, found: Iterable[tuple[int, Path, Scores]]) -> None:
        """Keeps what has been computed, on disk before anything is made of it."""
        lines = []
        for question, path, scores in found:
            log_probs = tuple(round(p, 5) for p in scores.log_probs.tolist())
            evaluation = Evaluation(tuple(scores.greedy.tolist()), log_probs)
            self.of[question][path] = evaluation
            lines.append(
                {
                    "question": question,
                    "path": path_text(path),
                    "greedy": [int(g) for g in evaluation.greedy],
                    "log_probs": list(log_probs),
                }
            )
        if self.file is not None and lines:
            with self.file.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))

    def _read(self, file: FilePath, head: dict[str, Any]) -> None:
        first, *lines = file.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
        try:
            known = json.loads(first)
        except ValueError:
            known = None
        if known != head:
            differs = next((k for k in head if not isinstance(known, dict) or known.get(k) != head[k]), "head")
            raise UserError(
                f"{file}: these evaluations were made with other {differs}",
                "begin a new search; they would not mean the same",
            )
        whole = first
        for line in lines:
            try:
                row = json.loads(line) if line.endswith("\n") else None
            except ValueError:
                row = None
            if row is None:
                break  # cut short by a kill: this line and nothing before it is lost
            evaluation = Evaluation(tuple(map(bool, row["greedy"])), tuple(row["log_probs"]))
            self.of[row["question"]][read_path(row["path"])] = evaluation
            whole += line
        if len(whole) < sum(map(len, (first, *lines))):
            write_atomic(file, whole)
