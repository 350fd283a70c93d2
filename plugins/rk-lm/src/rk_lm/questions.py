"""The data that asks questions of a language model."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, rows
from rk_lm.question import Question
from rk_lm.question_lines import read_questions

__all__ = ["Question", "QuestionBatch", "QuestionData", "VerdictOutputs", "accuracy", "shuffled_gold"]


class QuestionBatch(TypedDict):
    """Questions by number; they themselves are in ``questions_meta``, a list of `Question`."""

    question: Int[Tensor, "batch"]


class VerdictOutputs(TypedDict):
    """The results of the questions.

    ``correct`` is 1 for a right answer, 0 for a wrong one, and for an answer that is drawn, the probability that it is
    right. ``asked`` is 1 where there was an answer at all, else 0.
    """

    correct: Float[Tensor, "batch"]
    asked: Float[Tensor, "batch"]


def accuracy(*, correct: Float[Tensor, "batch"], asked: Float[Tensor, "batch"]) -> tuple[Tensor, Tensor]:
    """Share of right answers among the questions that were asked."""
    return (correct * asked).sum(), asked.sum()


class QuestionData(ABC):
    """Finite questions with one split, ``test``; `_load` of a subclass makes them.

    A batch has no tokens: which they are is the model's matter.
    """

    splits = ("test",)
    metrics = {"accuracy": accuracy}
    _batch_size = 32

    def prepare(self) -> None:
        self.questions = self._load()

    @abstractmethod
    def _load(self) -> list[Question]:
        """Returns the questions, in order."""

    def questions_of(self, split: str) -> list[Question]:
        """Returns the questions of a split, in order."""
        return self.questions

    def batches(self, split: str) -> int:
        return batch_count(len(self.questions), self._batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> QuestionBatch:
        chosen = rows(len(self.questions), self._batch_size, i, seed=0, shuffle=False)
        batch: QuestionBatch = {"question": chosen}
        asked = [self.questions[j] for j in chosen.tolist()]
        batch["questions_meta"] = asked  # type: ignore[typeddict-unknown-key]  # an entry in _meta is not declared
        return batch

    def read(self, path: Path) -> Batch:
        """Reads a user's own questions, as JSON lines (`rk_lm.jsonl`); they need no answers.

        In a batch, ``answers_wanted_meta`` asks the learner for its answers as text.
        """
        questions = self._questions_in(path)
        return {
            "question": torch.full((len(questions),), -1),
            "questions_meta": questions,
            "answers_wanted_meta": True,
        }

    def _questions_in(self, path: Path) -> list[Question]:
        """Returns the questions of a user's file; a subclass puts them as it puts its own."""
        return read_questions(path, need_answer=False)

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns what the model answers to each question and, where the file has the right answer, whether it is that.

        The learner's own words are in ``answers_meta`` of `outputs`, one dict per question.
        """
        questions: Sequence[Question] = batch["questions_meta"]
        said = outputs.get("answers_meta", [{}] * len(questions))
        found = [{"prompt": q.prompt, **words} for q, words in zip(questions, said, strict=True)]
        if any(q.answer is not None for q in questions):
            for row, question, right in zip(found, questions, outputs["correct"], strict=True):
                answer = question.answer
                row["expected"] = None if answer is None else answer.removesuffix(question.stop).strip()
                row["correct"] = None if answer is None else bool(right)
        return found


def shuffled_gold(questions: Sequence[Question], seed: int) -> list[str | None]:
    """Returns a wrong answer for each question, drawn from what is right elsewhere: the target of a control.

    Of a multiple choice it is another option. Else it is the answer to another question of the same level, so it looks
    like a right one; of any level, where every other answer of its own is the same. So each question has one, or none
    has (None): answer and control are counted over the same questions.
    """
    by_level = defaultdict(list)
    for question in questions:
        if not question.options:
            by_level[question.level].append(question.answer)
    every = [answer for answers in by_level.values() for answer in answers]
    wrong: list[str | None] = []
    for number, question in enumerate(questions):
        for known in (question.options or by_level[question.level], every):
            others = [answer for answer in known if answer != question.answer]
            if others:
                break
        wrong.append(random.Random(f"{seed}/{number}").choice(others) if others else None)
    return wrong
