"""Stories with questions, as bAbI writes them."""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBERED = re.compile(r"^(\d+)\s+")


class Question(NamedTuple):
    """A question, the facts before it in its story, and the answer, where it is known."""

    facts: tuple[tuple[str, ...], ...]
    question: tuple[str, ...]
    answer: str | None
    line: int


def words(text: str) -> tuple[str, ...]:
    """Returns the words of a sentence: small letters, without full stop and question mark."""
    return tuple(text.lower().replace(".", " ").replace("?", " ").split())


def parse_stories(text: str, max_facts: int) -> list[Question]:
    """Returns the questions of a text.

    A line is a fact, or a question if it has a question mark or a tab; behind a tab comes the answer. A story ends with
    an empty line, or where a line's number is 1.

    Args:
        text: The text.
        max_facts: Of a longer story, a question has the last facts alone.
    """
    facts: list[tuple[str, ...]] = []
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        numbered = _NUMBERED.match(line)
        if not line.strip() or (numbered and numbered[1] == "1"):
            facts = []
        sentence, *rest = line[numbered.end() if numbered else 0 :].split("\t")
        if rest or "?" in sentence:
            answer = rest[0].strip().lower() or None if rest else None
            found.append(Question(tuple(facts[-max_facts:]), words(sentence), answer, number))
        elif words(sentence):
            facts.append(words(sentence))
    return found
