"""Data `arith-levels`: sums and products in five levels, with two examples before each question."""

from __future__ import annotations

import random
from typing import Annotated

from annotated_types import Ge, Le

from rk_lm.question import Question
from rk_lm.questions import QuestionData

LEVELS: dict[int, list[tuple[str, int]]] = {
    1: [(f"{a}+{b}", a + b) for a in range(1, 10) for b in range(1, 10)],
    2: [(f"{a}+{b}", a + b) for a in range(10, 100) for b in range(1, 10)],
    3: [(f"{a}+{b}", a + b) for a in range(10, 100) for b in range(10, 100)],
    4: [(f"{a}*{b}", a * b) for a in range(2, 10) for b in range(3, 10)],
    5: [(f"{a}+{b}*{c}", a + b * c) for a in range(2, 10) for b in range(2, 10) for c in range(2, 10)],
}
"""Level -> every problem of it, with its result."""

EXAMPLES = {
    1: ("2+3", "7+1", "4+4", "6+2"),
    2: ("31+4", "58+6", "20+9", "73+2"),
    3: ("12+13", "41+29", "60+35", "27+18"),
    4: ("3*4", "6*5", "2*9", "8*3"),
    5: ("2+3*4", "5+6*2", "7+2*8", "4+9*3"),
}
"""Level -> the solved problems before the question, which are never asked."""


class ArithLevels(QuestionData):
    """Arithmetic in five levels: a+b of one digit; two digits and one; two and two; a*b; a+b*c. Levels take turns.

    A question is `12+13=25`, `41+29=70`, `67+18=` on three lines, its answer `85` and the end of the line: without
    that, the beginning of a longer number would count as right. No question is asked twice.

    Args:
        seed: Chooses the questions.
        num_questions: Questions of all levels together.
        levels: Which levels.
        num_examples: Solved problems before each question.
        options: Asks for one of four numbers instead: the right one, one beside it, one ten off, its digits reversed.

    Examples:
        data: {name: arith-levels, num_questions: 40, levels: [1, 2], options: true}
    """

    renamed = {"n_examples": "num_examples", "n_questions": "num_questions"}

    def __init__(
        self,
        seed: int,
        num_questions: Annotated[int, Ge(1)] = 100,
        levels: list[Annotated[int, Ge(1), Le(5)]] | None = None,
        num_examples: Annotated[int, Ge(0), Le(4)] = 2,
        options: bool = False,
    ) -> None:
        self.seed = seed
        self.num_questions = num_questions
        self.levels = sorted(set(levels)) if levels is not None else [*LEVELS]
        self.num_examples = num_examples
        self.options = options
        if not self.levels:
            raise ValueError("levels must not be empty")
        for place, level in enumerate(self.levels):
            there = len(LEVELS[level]) - len(EXAMPLES[level])
            wanted = len(range(place, num_questions, len(self.levels)))
            if wanted > there:
                raise ValueError(f"num_questions: level {level} has only {there} different questions, got {wanted}")

    def _load(self) -> list[Question]:
        streams = {level: iter(self._shuffled(level)) for level in self.levels}
        order = [self.levels[i % len(self.levels)] for i in range(self.num_questions)]
        return [self._question(level, *next(streams[level])) for level in order]

    def _shuffled(self, level: int) -> list[tuple[str, int]]:
        problems = [(text, result) for text, result in LEVELS[level] if text not in EXAMPLES[level]]
        random.Random(f"{self.seed}/{level}").shuffle(problems)
        return problems

    def _question(self, level: int, text: str, result: int) -> Question:
        results = dict(LEVELS[level])
        shown = "".join(f"{example}={results[example]}\n" for example in EXAMPLES[level][: self.num_examples])
        options = tuple(f"{option}\n" for option in _options(self.seed, text, result)) if self.options else ()
        return Question(f"{shown}{text}=", f"{result}\n", options, f"level {level}", "\n")


def _options(seed: int, text: str, result: int) -> list[int]:
    """Returns the right number among three that are close to it in different ways, in random order."""
    random_ = random.Random(f"{seed}/{text}")
    near = result + random_.choice((-1, 1))
    ten = result + (10 if result < 10 else random_.choice((-10, 10)))
    reversed_ = int(str(result)[::-1])
    found = list(dict.fromkeys([result, near, ten, reversed_]))
    found += [n for n in (result + 2, result + 11) if n not in found][: 4 - len(found)]
    random_.shuffle(found)
    return found
