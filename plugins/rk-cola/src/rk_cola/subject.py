"""What is searched: a frozen model with the questions that it is asked, whatever these are."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from typing import Any, Protocol, TypeGuard

import torch
from rk_lm.answer import answers
from rk_lm.cached import generate
from rk_lm.engine import Engine
from rk_lm.items import Item, Scores, encode_prompt
from rk_lm.layered import Path, full_path
from rk_lm.load import LanguageModel, Reference
from rk_lm.question import Question
from rk_lm.questions import shuffled_gold
from torch import Tensor

from rk.protocols import Batch, Data
from rk_cola.evaluations import Evaluations, Target, targets

NEW_TOKENS = 64
"""Most tokens of an answer to a user's own question."""
BATCH = 64
"""Prompts whose states are computed at once."""


class Scorer(Protocol):
    """Scores questions under paths: `rk_lm.engine.Engine`."""

    def score(self, requests: Sequence[tuple[int, Path]]) -> list[Scores]:
        """Returns the scores of each (place of the question, path), in their order."""
        ...

    def pin(self, path: Path) -> None:
        """Keeps the states along `path` for good."""
        ...


class Subject(Protocol):
    """A frozen model and its questions, numbered from 0.

    Attributes:
        depth: Layers of the model.
        reference: Which model it is.
    """

    depth: int
    reference: Reference

    @property
    def questions(self) -> Sequence[Question]:
        """All questions, in order; what is searched are the first ones."""
        ...

    def wrong(self, number: int) -> str | None:
        """Returns the control's answer to a question."""
        ...

    def prepare(self, count: int) -> None:
        """Makes ready what is needed to run the first `count` questions."""
        ...

    def targets(self, number: int) -> tuple[Target, Target | None]:
        """Returns what the search and its control look for."""
        ...

    def scorer(self, numbers: Sequence[int], batch_tokens: int, cache_bytes: int) -> Scorer:
        """Returns what scores these questions, which it numbers from 0."""
        ...

    def answers(self, path: Path, numbers: Sequence[int], evaluations: Evaluations) -> list[Hashable]:
        """Returns the model's answer to each of these questions along a path that has been evaluated for them."""
        ...

    def right(self, number: int) -> Hashable:
        """Returns the answer of `answers` that is right."""
        ...

    def states(self, numbers: Sequence[int], layers: int) -> list[Tensor]:
        """Returns the hidden states of each of these questions after the first `layers` layers, (time, d_model)."""
        ...

    def states_asked(self, asked: Batch, layers: int) -> list[Tensor]:
        """Returns the same states of a user's own questions, as the data has read them."""
        ...

    def answers_asked(self, asked: Batch, paths: Sequence[Path]) -> list[dict[str, Any]]:
        """Returns the model's answer to each of these, along its path."""
        ...

    def head(self) -> dict[str, str]:
        """Returns what evaluations depend on."""
        ...


class AsksQuestions(Data, Protocol):
    """Data whose examples are questions: `rk_lm.questions.QuestionData`, or what wraps it."""

    def questions_of(self, split: str) -> list[Question]:
        """Returns the questions of a split, in order."""
        ...


def asks_questions(data: Data | None) -> TypeGuard[AsksQuestions]:
    """Returns whether the examples of `data` are questions."""
    return hasattr(data, "questions_of")


class LanguageSubject:
    """A pretrained language model and the questions of its data.

    Args:
        lm: The model.
        data: The questions.
        seed: Of the control's answers.
        chat: Puts prompts into the model's chat template.
    """

    def __init__(self, lm: LanguageModel, data: AsksQuestions, seed: int, chat: bool) -> None:
        self.lm = lm
        self.data = data
        self.seed = seed
        self.chat = chat
        self.depth = lm.layered.depth
        self.reference = lm.reference
        self._wrong: list[str | None] | None = None
        self._items: list[Item] = []

    @property
    def questions(self) -> list[Question]:
        return self.data.questions_of("test")

    def wrong(self, number: int) -> str | None:
        if self._wrong is None:
            self._wrong = shuffled_gold(self.questions, self.seed)
        return self._wrong[number] if 0 <= number < len(self._wrong) else None

    def prepare(self, count: int) -> None:
        self._items = []
        for number, question in enumerate(self.questions[:count]):
            other = self.wrong(number)
            asked = question.continuations if question.options or other is None else (question.answer or "", other)
            self._items.append(self.lm.encode(question, asked, self.chat))
        self.lm.check_items(self._items)

    def targets(self, number: int) -> tuple[Target, Target | None]:
        lengths = tuple(map(len, self._items[number].continuations))
        return targets(self.questions[number], self.wrong(number), lengths)

    def scorer(self, numbers: Sequence[int], batch_tokens: int, cache_bytes: int) -> Engine:
        items = [self._items[number] for number in numbers]
        engine = Engine(self.lm.layered, items, batch_tokens=batch_tokens, cache_bytes=cache_bytes)
        engine.pin(full_path(self.lm.layered))
        return engine

    def answers(self, path: Path, numbers: Sequence[int], evaluations: Evaluations) -> list[Hashable]:
        """Returns the number of the chosen option, or the first tokens of an answer that has to be produced."""
        found: dict[int, Hashable] = {}
        free = [n for n in numbers if not self.questions[n].options]
        for number in numbers:
            if self.questions[number].options:
                lengths = [*map(len, self._items[number].continuations)]
                means = evaluations.of[number][path].mean_log_probs(lengths)
                found[number] = max(range(len(means)), key=means.__getitem__)
        if free:
            found |= zip(free, self._generated(path, [self._items[n] for n in free]), strict=True)
        return [found[number] for number in numbers]

    def _generated(self, path: Path, items: Sequence[Item]) -> list[tuple[int, ...]]:
        """Returns the first tokens that greedy decoding gives along `path`: as many as the right answer has."""
        longest = max(len(item.continuations[0]) for item in items)
        pad = self.lm.tokenizer.pad_token_id if self.lm.tokenizer.pad_token_id is not None else 0
        prompts = [list(item.prompt) for item in items]
        rows = generate(self.lm.layered, path, prompts, pad, max_new_tokens=longest, do_sample=False).tolist()
        return [tuple(row[: len(item.continuations[0])]) for row, item in zip(rows, items, strict=True)]

    def states(self, numbers: Sequence[int], layers: int) -> list[Tensor]:
        """Returns the states of the prompts alone: no answer is in them."""
        return self.states_of([self._items[number].prompt for number in numbers], layers)

    @torch.inference_mode()
    def states_of(self, prompts: Sequence[Sequence[int]], layers: int) -> list[Tensor]:
        """Returns the hidden states of prompts, given as tokens, after the first `layers` layers."""
        found = []
        for start in range(0, len(prompts), BATCH):
            some = prompts[start : start + BATCH]
            longest = max(map(len, some))
            rows = [[*prompt, *[0] * (longest - len(prompt))] for prompt in some]  # causal: padding is never seen
            tokens = torch.tensor(rows, device=self.lm.layered.device)
            context, hidden = self.lm.layered.context(tokens), self.lm.layered.embed(tokens)
            for i in range(layers):
                hidden = self.lm.layered.layer(i, hidden, context)
            found += [state[: len(prompt)].float().cpu() for state, prompt in zip(hidden, some, strict=True)]
        return found

    def states_asked(self, asked: Batch, layers: int) -> list[Tensor]:
        prompts = [encode_prompt(self.lm.tokenizer, q.prompt, self.chat) for q in asked["questions_meta"]]
        return self.states_of(prompts, layers)

    def answers_asked(self, asked: Batch, paths: Sequence[Path]) -> list[dict[str, Any]]:
        questions = asked["questions_meta"]
        said = answers(self.lm, questions, paths, self.chat, NEW_TOKENS)
        return [{"prompt": q.prompt, "answer": text} for q, text in zip(questions, said, strict=True)]

    def right(self, number: int) -> Hashable:
        question = self.questions[number]
        if question.options:
            return question.options.index(question.answer or "")
        return self._items[number].continuations[0]

    def head(self) -> dict[str, str]:
        self.wrong(0)
        asked = [self.questions, self._wrong, self.chat and "as the model says it"]
        return {"model": self.reference.digest, "questions": digest(asked)}


def digest(asked: list[Any]) -> str:
    """Returns a digest of what is asked, so that evaluations are never taken for those of other questions."""
    return hashlib.sha256(repr(asked).encode()).hexdigest()
