"""The base of tasks whose sentences are answered by a sequence: splits, batches, metrics and explained answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Batch, Outputs, Share
from rk.reading import read_text
from rk.sampling import batch_count, rows
from rk_nsr.fields import END, SentenceBatch

Pair = tuple[tuple[str, ...], tuple[str, ...]]
"""Words of a sentence, words of its answer."""


def accuracy(*, decoded: Int[Tensor, "batch answer_time"], targets: Int[Tensor, "batch target_time"]) -> Share:
    """Share of sentences whose whole answer is right."""
    width = max(decoded.shape[1], targets.shape[1])
    same = _padded(decoded, width) == _padded(targets, width)
    return same.all(1).sum(), len(targets)


def _padded(tokens: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(tokens, (0, width - tokens.shape[1]), value=IGNORED)


class SentenceData(ABC):
    """Pairs of sentences and answers, which a class that extends this one generates or reads.

    Args:
        seed: Chooses the training sentences.
        num_examples: Sentences that are trained on.
        num_val: Further sentences of the training split that validation holds out.
        limit: Most sentences of a test; null: all.
        batch_size: Sentences per batch.
    """

    splits: tuple[str, ...] = ("train", "val", "test")
    metrics: Mapping[str, Any] = {"accuracy": accuracy}
    text_ending = (".txt",)

    def __init__(
        self,
        *,
        seed: int,
        num_examples: Annotated[int, Ge(1)] = 1200,
        num_val: Annotated[int, Ge(1)] = 300,
        limit: Annotated[int, Ge(1)] | None = None,
        batch_size: Annotated[int, Ge(1)] = 100,
    ) -> None:
        self.seed = seed
        self.num_examples = num_examples
        self.num_val = num_val
        self.limit = limit
        self.batch_size = batch_size

    @property
    @abstractmethod
    def symbols(self) -> list[str]:
        """What each symbol is called."""

    @property
    @abstractmethod
    def arities(self) -> list[int]:
        """Arguments of each symbol."""

    @property
    @abstractmethod
    def answer_words(self) -> list[str]:
        """What each token of an answer is called; the first ends it."""

    @property
    def vocab_size(self) -> int:
        """Symbols."""
        return len(self.symbols)

    @property
    def num_outputs(self) -> int:
        """Tokens of answers, the one that ends them included."""
        return len(self.answer_words)

    @abstractmethod
    def _load(self) -> dict[str, list[Pair]]:
        """Returns the pairs of each split."""

    @abstractmethod
    def _words(self, line: str, place: str) -> tuple[str, ...]:
        """Returns the symbols of a user's sentence. Raises `rk.UserError` where it cannot be read."""

    def prepare(self) -> None:
        self._pairs = self._load()
        self._numbers = {symbol: i for i, symbol in enumerate(self.symbols)}
        self._answers = {word: i for i, word in enumerate(self.answer_words)}

    def batches(self, split: str) -> int:
        return batch_count(len(self._pairs[split]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> SentenceBatch:
        pairs = self._pairs[split]
        if split != "train":
            i %= batch_count(len(pairs), self.batch_size)
        chosen = rows(len(pairs), self.batch_size, i, seed=self.seed, shuffle=split == "train").tolist()
        return self._batch([pairs[row] for row in chosen])

    def _batch(self, pairs: Sequence[Pair]) -> SentenceBatch:
        fields = self._collated([words for words, _ in pairs])
        answers = [torch.tensor([*(self._answers[word] for word in answer), END]) for _, answer in pairs]
        return {
            "tokens": fields["tokens"],
            "lengths": fields["lengths"],
            "targets": pad_sequence(answers, batch_first=True, padding_value=IGNORED),
        }

    def _collated(self, sentences: Sequence[tuple[str, ...]]) -> dict[str, Tensor]:
        numbers = [torch.tensor([self._numbers[word] for word in words]) for words in sentences]
        return {
            "tokens": pad_sequence(numbers, batch_first=True),
            "lengths": torch.tensor([len(row) for row in numbers]),
        }

    def read(self, path: Path) -> Batch:
        """Reads a text file with a sentence on each line."""
        lines = read_text(path, "give a text file with a sentence on each line").splitlines()
        sentences = [self._words(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()]
        if not sentences:
            raise UserError(f"{path}: expected a sentence on each line, got nothing")
        self._numbers = {symbol: i for i, symbol in enumerate(self.symbols)}
        return self._collated(sentences)

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns each sentence with its answer and, where a tree was built, the tree and how its values came about."""
        return explained(batch, outputs, self.symbols, self.answer_words, self._shown, self._joined)

    def _shown(self, value: Any) -> str:
        """Returns a value of a step as text."""
        return list_of_words(value, self.answer_words)

    def _joined(self, words: Sequence[str]) -> str:
        """Returns the words of an answer as text."""
        return " ".join(words)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._numbers = {symbol: i for i, symbol in enumerate(self.symbols)}


def explained(
    batch: Batch,
    outputs: Outputs,
    symbols: Sequence[str],
    names: Sequence[str],
    shown: Callable[[Any], str],
    joined: Callable[[Sequence[str]], str] = " ".join,
) -> list[dict[str, Any]]:
    """Returns each sentence with its answer and, where a tree was built, the tree and how its values came about.

    Args:
        batch: Sentences.
        outputs: What answered them.
        symbols: What each symbol is called.
        names: What each token of an answer is called; the first ends it.
        shown: Returns a value of the tree as text.
        joined: Returns the words of an answer as text.
    """
    found = []
    read = outputs["perceived"] if "perceived" in outputs else batch["tokens"]
    for i, (tokens, length) in enumerate(zip(read.tolist(), batch["lengths"].tolist(), strict=True)):
        words = [symbols[token] for token in tokens[:length]]
        answer = [names[token] for token in outputs["decoded"][i].tolist() if token > END]
        row: dict[str, Any] = {"sentence": " ".join(words), "answer": joined(answer)}
        if "values_meta" in outputs:
            heads, values = outputs["heads"][i, :length].tolist(), outputs["values_meta"][i]
            row["tree"] = bracketed(words, heads)
            row["steps"] = "\n".join(_step(words, heads, node, values, shown) for node in _upwards(heads))
        found.append(row)
    return found


def _step(
    words: Sequence[str], heads: Sequence[int], node: int, values: Sequence[Any], shown: Callable[[Any], str]
) -> str:
    """Returns one line: a symbol, the values of its children, its value and its program."""
    inputs = [shown(values[child][0]) for child, head in enumerate(heads) if head == node]
    value, program = values[node]
    return f"{' '.join((words[node], *inputs))} = {shown(value)}  by {program or 'memory'}"


def list_of_words(value: Any, names: Sequence[str]) -> str:
    """Returns a list of tokens as text; a token without a name is a number."""
    return "?" if value is None else f"[{' '.join(names[n] if n < len(names) else str(n) for n in value)}]"


def bracketed(words: Sequence[str], heads: Sequence[int]) -> str:
    """Returns a tree as text: each word with its children in brackets behind it."""

    def text(node: int) -> str:
        below = [text(child) for child, head in enumerate(heads) if head == node]
        return f"({' '.join((words[node], *below))})" if below else words[node]

    return text(list(heads).index(-1))


def _upwards(heads: Sequence[int]) -> list[int]:
    """Returns the nodes, children before their heads."""
    found: list[int] = []

    def visit(node: int) -> None:
        for child, head in enumerate(heads):
            if head == node:
                visit(child)
        found.append(node)

    visit(list(heads).index(-1))
    return found
