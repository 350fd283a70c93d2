"""Data `arc`: AI2's science questions with four options."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from rk.files import fetch
from rk_lm.question import Question
from rk_lm.question_lines import read_questions
from rk_lm.questions import QuestionData

HOME = "https://raw.githubusercontent.com/zhaoxlpku/HKU-DASC7606-A2/main/data"
SHA256 = {
    "ARC-Challenge-test": "c0e7635ee91b9ca47bf388f1f6cd5140fda083a71dccda44de72c364645df3f3",
    "ARC-Challenge-train": "aed9b9678099145c1c7fbc5a3ecb9943f0743c0089e0e85d3e66bad79676b0ea",
    "ARC-Challenge-validation": "c63650471eaf4c5076d9c913b77e42e10878739ec4e9e69d3a5f31210f5775a5",
    "ARC-Easy-test": "c9757629cb775832c3c67b4aa1425e3eda01708a2b02fa229b0c3ed1bcb70fe1",
    "ARC-Easy-train": "75d0bb9b9218278fb9cb430fc0ace63d71cfe02ca1a03d39374260c7cd7c67f7",
    "ARC-Easy-validation": "e45dbcd2d8e8235af16302f4be0dd00c5d173878c583f4dfe55b70f9df07b2f8",
}
"""File -> what it must be. They are JSON lines of allenai/ai2_arc; licence CC BY-SA 4.0."""


class Arc(QuestionData):
    """The AI2 Reasoning Challenge (Clark et al., arXiv:1803.05457): science questions of school exams, four options.

    Questions are drawn at random, without repetition.

    Args:
        seed: Chooses the questions.
        subset: Easy questions, or those that retrieval and co-occurrence get wrong.
        part: Which part of the data set.
        num_questions: How many; null takes all, in the order of the file.
        style: Scores the options themselves, or shows them with letters and scores the letters.

    Examples:
        data: {name: arc, subset: challenge, num_questions: 50}
    """

    renamed = {"n_questions": "num_questions"}

    def __init__(
        self,
        seed: int,
        subset: Literal["easy", "challenge"] = "easy",
        part: Literal["train", "validation", "test"] = "test",
        num_questions: Annotated[int, Ge(1)] | None = 500,
        style: Literal["cloze", "letter"] = "cloze",
    ) -> None:
        self.seed = seed
        self.subset = subset
        self.part = part
        self.num_questions = num_questions
        self.style = style

    def _load(self) -> list[Question]:
        name = f"ARC-{self.subset.capitalize()}-{self.part}"
        path = fetch(f"arc/{name}.jsonl", f"{HOME}/{name}.jsonl", f"sha256:{SHA256[name]}", verify=True)
        return sample(read_questions(path, style=self.style), self.num_questions, self.seed)

    def _questions_in(self, path: Path) -> list[Question]:
        return read_questions(path, style=self.style, need_answer=False)


def sample(questions: list[Question], n: int | None, seed: int) -> list[Question]:
    """Returns `n` of the questions in random order, a function of the seed; all of them, in order, for None."""
    return questions if n is None else random.Random(seed).sample(questions, min(n, len(questions)))
