"""What is asked of a language model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Question:
    """One question: with options, multiple choice; without, an answer that has to be produced exactly.

    Attributes:
        prompt: The text before the answer.
        answer: What has to follow, `stop` included; of a multiple choice, its right option. None where the answer is
            not known: such a question can be predicted, and not scored.
        options: What there is to choose from, as it would follow the prompt.
        level: A group of questions that are alike.
        stop: What ends an exact answer.
    """

    prompt: str
    answer: str | None
    options: tuple[str, ...] = ()
    level: str = ""
    stop: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.options and self.answer is not None and self.answer not in self.options:
            raise ValueError(f"the answer {self.answer!r} is not one of the options")
        if len(set(self.options)) != len(self.options):
            raise ValueError(f"two of the options are the same: {list(self.options)}")

    @property
    def continuations(self) -> tuple[str, ...]:
        """The texts that are scored: the options, or the answer; nothing where there is neither."""
        return self.options or (() if self.answer is None else (self.answer,))

    @property
    def asked_digest(self) -> bytes:
        """Eight bytes that identify the question: prompt and options."""
        return _digest([self.prompt, list(self.options)])

    @property
    def answer_digest(self) -> bytes:
        """Eight bytes that identify the answer."""
        return _digest(self.answer)


def _digest(value: Any) -> bytes:
    return hashlib.sha256(json.dumps(value).encode()).digest()[:8]
