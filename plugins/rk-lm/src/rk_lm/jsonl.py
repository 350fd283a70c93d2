"""Questions out of a user's own JSON lines, with exact answers or with options."""

from __future__ import annotations

from pathlib import Path

from rk_lm.question import Question
from rk_lm.question_lines import EXACT_TEMPLATE, check_template, read_questions
from rk_lm.questions import QuestionData


class ExactJsonl(QuestionData):
    """Questions whose answer has to be produced exactly, from a file of JSON lines.

    A line is `{"question": "How many legs has a spider?", "answer": "8"}`; `level` groups questions in the tables. With
    `prompt` in place of `question` the text is taken as it is, and the answer follows without a space.

    Args:
        file: The file.
        template: What is made of a question.
        stop: What must follow the answer, so that the beginning of a longer one does not count.

    Examples:
        data: {name: exact-jsonl, file: questions.jsonl}
    """

    def __init__(self, file: Path, template: str = EXACT_TEMPLATE, stop: str = "\n") -> None:
        self.file = file
        self.template = template
        self.stop = stop
        check_template(template)

    def _load(self) -> list[Question]:
        return read_questions(self.file, self.template, self.stop, kind="exact")

    def _questions_in(self, path: Path) -> list[Question]:
        return read_questions(path, self.template, self.stop, need_answer=False)


class MultipleChoiceJsonl(QuestionData):
    """Questions with options, from a file of JSON lines; the most probable option per token is the answer.

    A line is `{"question": ..., "options": ["a spider", "an ant"], "answer": "a spider"}`. The answer may be the
    option's number from 0, or its letter; the form of the ARC files is taken too, whose `answerKey` is always a letter.

    Args:
        file: The file.
        template: What is made of a question.
        style: Scores the options themselves, or shows them with letters and scores the letters.

    Examples:
        data: {name: mc-jsonl, file: questions.jsonl}
    """

    def __init__(self, file: Path, template: str = EXACT_TEMPLATE, style: str = "cloze") -> None:
        self.file = file
        self.template = template
        self.style = style
        check_template(template)
        if style not in ("cloze", "letter"):
            raise ValueError(f"style must be cloze or letter, got {style!r}")

    def _load(self) -> list[Question]:
        return read_questions(self.file, self.template, kind="options", style=self.style)

    def _questions_in(self, path: Path) -> list[Question]:
        return read_questions(path, self.template, style=self.style, need_answer=False)
