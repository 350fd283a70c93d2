"""Questions out of JSON lines: exact answers, or options."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rk import UserError
from rk.reading import describe, read_json_lines
from rk_lm.question import Question

EXACT_TEMPLATE = "Question: {question}\nAnswer:"
MOST_OPTIONS = 1000
ACCEPTED = (
    'JSON lines, each {"question": ..., "answer": ...}, with "options": [...] for a multiple choice; '
    '"prompt" in place of "question" is taken as it is; "level" groups questions'
)


def read_questions(
    path: Path,
    template: str = EXACT_TEMPLATE,
    stop: str = "\n",
    kind: str = "any",
    style: str = "cloze",
    need_answer: bool = True,
) -> list[Question]:
    """Returns the questions of a file of JSON lines.

    Args:
        path: The file.
        template: What is made of a ``question``.
        stop: Follows every exact answer.
        kind: What every line must be: ``exact``, with ``options``, or ``any``.
        style: How options are shown: ``cloze`` or ``letter``.
        need_answer: Refuses questions without an answer.

    Raises:
        rk.UserError: When a line cannot be taken; it is named.
    """
    questions = []
    for number, row in read_json_lines(path, ACCEPTED):
        try:
            questions.append(_question(row, template, stop, kind, style, need_answer))
        except ValueError as error:
            raise UserError(f"{path}:{number}: {error}", ACCEPTED) from None
    if not questions:
        raise UserError(f"{path}: there is no question in it", ACCEPTED)
    return questions


def _question(row: Any, template: str, stop: str, kind: str, style: str, need_answer: bool) -> Question:
    if not isinstance(row, dict):
        raise ValueError(f"expected a JSON object, got {describe(row)}")
    options, labels = _options_of(row)
    if kind == "exact" and options:
        raise ValueError("has options, where an exact answer is needed: read it with mc-jsonl")
    if kind == "options" and not options:
        raise ValueError("has no options")
    is_key = "answer" not in row
    answer = row.get("answerKey" if is_key else "answer")
    if isinstance(answer, bool | list | dict) or (answer is None and need_answer):
        raise ValueError("has no answer")
    if isinstance(answer, float) and not math.isfinite(answer):
        raise ValueError("the answer is too large for a float; write it as a text")
    prompt = row.get("prompt")
    if prompt is None:
        if not isinstance(row.get("question"), str):
            raise ValueError("has neither a question nor a prompt")
        shown = row["question"]
        if options and style == "letter":
            shown += "".join(f"\n{label}. {option}" for label, option in zip(labels, options, strict=True))
        prompt = template.replace("{question}", shown)
    if not isinstance(prompt, str):
        raise ValueError(f"the prompt: expected a text, got {describe(prompt)}")
    if prompt == "":
        raise ValueError("the prompt is empty")
    if answer == "":
        raise ValueError("the answer is empty")
    space = "" if "prompt" in row else " "
    level = row.get("level")
    if isinstance(level, list | dict):
        raise ValueError(f"the level: expected a text or a number, got {describe(level)}")
    level = "" if level is None else str(level)
    if not options:
        return Question(prompt, None if answer is None else f"{space}{answer}{stop}", (), level, stop)
    texts = tuple(f"{space}{text}" for text in (labels if style == "letter" else options))
    if answer is None:
        return Question(prompt, None, texts, level)
    right = _number_of_key(str(answer), labels) if is_key else _number_of_answer(answer, options, labels)
    return Question(prompt, texts[right], texts, level)


def _options_of(row: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Returns options and their letters; both forms of ARC's choices are taken."""
    found: Any = row.get("options", row.get("choices"))
    if found is None:
        return [], []
    labels: Any = None
    if isinstance(found, dict):
        found, labels = found.get("text"), found.get("label")
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(o, str) for o in found):
        raise ValueError("options must be a list of at least two texts")
    if len(found) > MOST_OPTIONS:
        raise ValueError(f"there must be at most {MOST_OPTIONS} options")
    if "" in found:
        raise ValueError("an option is empty")
    if labels is None:
        return found, [chr(ord("A") + i) for i in range(len(found))]
    if not isinstance(labels, list) or len(labels) != len(found) or any(isinstance(x, list | dict) for x in labels):
        raise ValueError(f"the labels: expected a list of {len(found)} letters, got {describe(labels)}")
    labels = [str(label) for label in labels]
    if len(set(labels)) < len(labels):
        raise ValueError(f"two of the labels are the same: {labels}")
    return found, labels


def _number_of_key(key: str, labels: list[str]) -> int:
    """Returns the option of an ``answerKey``: it is a label, whatever the options' texts are."""
    if key not in labels:
        raise ValueError(f"the key {key!r} is not the letter of an option")
    return labels.index(key)


def _number_of_answer(answer: Any, options: list[str], labels: list[str]) -> int:
    """Returns the option that ``answer`` means: a number, a text, or a letter."""
    if isinstance(answer, int):
        if not 0 <= answer < len(options):
            raise ValueError(f"the answer {answer} is not the number of an option; they count from 0")
        return answer
    meant = {known.index(answer) for known in (options, labels) if answer in known}
    if not meant:
        raise ValueError(f"the answer {answer!r} is not one of the options")
    if len(meant) > 1:
        raise ValueError(f"the answer {answer!r} is one option and the letter of another; give its number, from 0")
    return meant.pop()


def check_template(template: str) -> None:
    if "{question}" not in template:
        raise ValueError("template: there is no {question} in it")
