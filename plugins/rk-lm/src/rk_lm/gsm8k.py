"""Data `gsm8k`: grade-school word problems, answered by their last number alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge

from rk import UserError
from rk.files import fetch
from rk.reading import read_json_lines
from rk_lm.arc import sample
from rk_lm.question import Question
from rk_lm.question_lines import EXACT_TEMPLATE, read_questions
from rk_lm.questions import QuestionData

HOME = "https://raw.githubusercontent.com/openai/grade-school-math/3101c7d5072418e28b9008a6636bde82a006892c"
SHA256 = {
    "test": "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
    "train": "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
}
"""File -> what it must be; licence MIT."""


class Gsm8k(QuestionData):
    """GSM8K (Cobbe et al., arXiv:2110.14168): word problems of two to eight steps.

    Only the result is asked for, without the steps, and it has to be produced exactly: what a frozen model can do in
    one forward pass.

    Args:
        seed: Chooses the questions.
        part: Which part of the data set.
        num_questions: How many; null takes all, in the order of the file.
        num_examples: Solved problems before each question, from the training part.

    Examples:
        data: {name: gsm8k, num_questions: 50, num_examples: 2}
    """

    renamed = {"n_examples": "num_examples", "n_questions": "num_questions"}

    def __init__(
        self,
        seed: int,
        part: Literal["train", "test"] = "test",
        num_questions: Annotated[int, Ge(1)] | None = 500,
        num_examples: Annotated[int, Ge(0)] = 2,
    ) -> None:
        self.seed = seed
        self.part = part
        self.num_questions = num_questions
        self.num_examples = num_examples

    def _load(self) -> list[Question]:
        shown = self._shown()
        before = _solved(shown)
        asked = [(q, a) for q, a in _read(self.part) if (q, a) not in shown]
        questions = [Question(before + _prompt(q), f" {a}\n", stop="\n") for q, a in asked]
        return sample(questions, self.num_questions, self.seed)

    def _questions_in(self, path: Path) -> list[Question]:
        return read_questions(path, _solved(self._shown()) + EXACT_TEMPLATE, need_answer=False)

    def _shown(self) -> list[tuple[str, str]]:
        return _read("train")[: self.num_examples] if self.num_examples else []


def _solved(shown: list[tuple[str, str]]) -> str:
    return "".join(f"{_prompt(q)} {a}\n\n" for q, a in shown)


def _prompt(question: str) -> str:
    return EXACT_TEMPLATE.replace("{question}", question)


def _read(part: str) -> list[tuple[str, str]]:
    """Returns questions with their final numbers, which follow ``####`` in the data."""
    path = fetch(
        f"gsm8k/{part}.jsonl", f"{HOME}/grade_school_math/data/{part}.jsonl", f"sha256:{SHA256[part]}", verify=True
    )
    found = []
    for number, row in read_json_lines(path):
        _, mark, result = row["answer"].partition("####")
        if not mark:
            raise UserError(f"{path}:{number}: the answer has no line that begins with ####")
        found.append((row["question"], result.strip().replace(",", "")))
    return found
