"""The base of data whose sequences are answered by sequences, each with a depth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Batch, Outputs
from rk.reading import read_text
from rk.sampling import batch_count
from rk_sequence.metrics import MacroAccuracy, answer_accuracy
from rk_sequence.seq2seq import END

END_WORD = "END"
"""What the token that ends an answer is called."""


class PairBatch(TypedDict):
    """Inputs, what answers them (padded with -100), and how deep a recursion each answer takes."""

    tokens: Int[Tensor, "batch time"]
    lengths: Int[Tensor, "batch"]
    targets: Int[Tensor, "batch target_time"]
    depth: Int[Tensor, "batch"]


class PairData(ABC):
    """Sequences and their answers, which a class that extends this one generates or reads.

    Args:
        seed: Draws the examples.
        batch_size: Examples per batch.
    """

    metrics: Mapping[str, Any] = {"accuracy": answer_accuracy, "macro-accuracy": MacroAccuracy}
    text_ending = (".txt",)
    depth_name = "depth"
    """What the depth of an example is, for figures."""

    def __init__(self, seed: int, batch_size: Annotated[int, Ge(1)] = 64) -> None:
        self.seed = seed
        self.batch_size = batch_size

    @property
    @abstractmethod
    def source_words(self) -> list[str]:
        """What the tokens of inputs are called."""

    @property
    @abstractmethod
    def answer_words(self) -> list[str]:
        """What the tokens of answers are called; the first ends them."""

    @property
    def vocab_size(self) -> int:
        """Tokens of inputs."""
        return len(self.source_words)

    @property
    def num_outputs(self) -> int:
        """Tokens of answers, the one that ends them included."""
        return len(self.answer_words)

    @abstractmethod
    def count(self, split: str) -> int:
        """Returns the examples of a split that is evaluated."""

    def batches(self, split: str) -> int | None:
        """Returns the number of batches of one pass over `split`; training has no end."""
        return None if split == "train" else batch_count(self.count(split), self.batch_size)

    def span(self, split: str, i: int) -> slice:
        """Returns the examples of batch `i` of a split that is evaluated."""
        start = i % batch_count(self.count(split), self.batch_size) * self.batch_size
        return slice(start, min(start + self.batch_size, self.count(split)))

    def words_of(self, line: str, place: str) -> list[str]:
        """Returns the tokens of a user's line: what white space separates. Raises `rk.UserError`."""
        return line.split()

    def read(self, path: Path) -> Batch:
        """Reads a text file with an input on each line: its tokens, with spaces between."""
        numbers = {word: i for i, word in enumerate(self.source_words)}
        rows = []
        for n, line in enumerate(read_text(path, "give a text file with an input on each line").splitlines(), 1):
            words = self.words_of(line, f"{path}:{n}") if line.strip() else []
            for word in words:
                if word not in numbers:
                    known = " ".join(self.source_words[:12]) + (" ..." if len(numbers) > 12 else "")
                    raise UserError(f"{path}:{n}: {word!r} is not a token of inputs", f"there are {known}")
            if words:
                rows.append([numbers[word] for word in words])
        if not rows:
            raise UserError(f"{path}: expected an input on each line, got nothing")
        return padded_inputs(rows)

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns each input with its answer, as texts."""
        found = []
        for tokens, n, decoded in zip(
            batch["tokens"].tolist(), batch["lengths"].tolist(), outputs["decoded"].tolist(), strict=True
        ):
            said = " ".join(self.source_words[token] for token in tokens[:n])
            found.append({"input": said, "answer": " ".join(self.answer_words[t] for t in decoded if t > END)})
        return found


def padded_inputs(rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Returns the fields `tokens` and `lengths` of inputs of any length from 1."""
    numbers = [torch.tensor(row, dtype=torch.int64) for row in rows]
    return {
        "tokens": pad_sequence(numbers, batch_first=True),
        "lengths": torch.tensor([len(row) for row in numbers]),
    }


def padded_answers(rows: Sequence[Sequence[int]]) -> Int[Tensor, "batch target_time"]:
    """Returns answers with `END` behind each, padded with -100."""
    return pad_sequence([torch.tensor([*row, END]) for row in rows], batch_first=True, padding_value=IGNORED)
