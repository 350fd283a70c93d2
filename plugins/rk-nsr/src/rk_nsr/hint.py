"""Data `hint` and `hint-images`: arithmetic, as symbols and as images of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Int
from torch import Tensor

from rk import UserError
from rk.protocols import Batch, Outputs, Share
from rk.sampling import generator, rows
from rk.sheets import draw_sheet
from rk_nsr.fields import ImagesBatch, SentenceBatch
from rk_nsr.hint_grammar import (
    ARITIES,
    DIGITS,
    SYMBOLS,
    Words,
    pairs,
    parsed,
    sampled,
    singles,
    values,
)
from rk_nsr.sentences import Pair, SentenceData, accuracy
from rk_nsr.symbol_images import Gallery, gallery

SHORT, LONG = 10, 20
"""Most operators of training and of the longest tests."""
SMALL, LARGE = 100, 10_000
"""Largest values of training and of the tests with the largest values."""
TESTS = {
    "test-i": ((1, SHORT), (0, SMALL)),
    "test-ss": ((3, SHORT), (0, SMALL)),
    "test-ls": ((SHORT + 1, LONG), (0, SMALL)),
    "test-sl": ((2, SHORT), (SMALL + 1, LARGE)),
    "test-ll": ((SHORT + 1, LONG), (SMALL + 1, LARGE)),
}
"""Split -> operators from and to, and the largest value of any part from and to."""


class Hint(SentenceData):
    """HINT (Li et al., arXiv:2103.01403): "( 7 - 2 ) * 3 / 4" and its value, in symbols.

    Expressions are generated; their published files hold images. Training has the ten digits, the expressions of two
    digits, and as many of each number of operators up to ten, with values up to 100. There are five tests: `test-i` has
    expressions of the training, `test-ss` new ones of the same kind, `test-ls` has 11 to 20 operators, `test-sl` values
    up to 10,000, and `test-ll` both. Answers are written in decimal digits.

    Args:
        limit: Expressions of each test.
        curriculum: Most symbols of the expressions that are trained on at each stage of the trainer; later all are.

    Examples:
        data: {name: hint, num_examples: 2200, limit: 200}
    """

    splits: tuple[str, ...] = ("train", "val", "test-i", "test-ss", "test-ls", "test-sl", "test-ll")

    def __init__(
        self,
        limit: Annotated[int, Ge(1)] = 200,
        curriculum: tuple[int, ...] = (3, 7, 11, 15),
        **common: Any,
    ) -> None:
        super().__init__(limit=limit, **common)
        self.curriculum = curriculum

    @property
    def symbols(self) -> list[str]:
        """Digits, operators and brackets."""
        return list(SYMBOLS)

    @property
    def arities(self) -> list[int]:
        """Arguments of each symbol."""
        return list(ARITIES)

    @property
    def answer_words(self) -> list[str]:
        """The digits of answers."""
        return ["END", *DIGITS]

    def _load(self) -> dict[str, list[Pair]]:
        draws = random.Random(f"{self.seed} train")
        every = [*singles(), *draws.sample(pairs(), len(pairs()))]
        made: list[tuple[Words, int]] = every[: self.num_examples]
        share = max(0, self.num_examples - len(made)) // (SHORT - 1)
        for number in range(2, SHORT + 1):
            made += sampled(draws, number, share, 0, SMALL, set())
        known = {words for words, _ in made}
        found = {"train": made, "val": self._sampled(draws, self.num_val, (3, SHORT), (0, SMALL), known)}
        known |= {words for words, _ in found["val"]}
        assert self.limit is not None
        for name, (operators, size) in TESTS.items():
            if name == "test-i":
                found[name] = draws.sample(made, min(self.limit, len(made)))
            else:
                found[name] = self._sampled(draws, self.limit, operators, size, known)
        found["train"].sort(key=lambda pair: len(pair[0]))  # a stage of the curriculum is the first so many
        return {split: [(words, tuple(str(value))) for words, value in rows] for split, rows in found.items()}

    @staticmethod
    def _sampled(
        draws: random.Random, count: int, operators: tuple[int, int], size: tuple[int, int], known: set[Words]
    ) -> list[tuple[Words, int]]:
        """Returns `count` expressions, of each number of operators as many."""
        numbers = range(operators[0], operators[1] + 1)
        each = -(-count // len(numbers))
        found = [one for number in numbers for one in sampled(draws, number, each, *size, known)]
        return draws.sample(found, count)

    def _at_stage(self, stage: int) -> int:
        """Returns how many of the training expressions are trained on."""
        train = self._pairs["train"]
        if stage >= len(self.curriculum):
            return len(train)
        return max(1, sum(len(words) <= self.curriculum[stage] for words, _ in train))

    def _chosen(self, split: str, i: int, stage: int) -> list[int]:
        if split != "train":
            count = len(self._pairs[split])
            return rows(count, self.batch_size, i % self.batches(split), seed=self.seed, shuffle=False).tolist()
        return rows(self._at_stage(stage), self.batch_size, i, seed=self.seed, shuffle=True).tolist()

    def batch(self, split: str, i: int, stage: int = 10**6) -> SentenceBatch:
        return self._batch([self._pairs[split][row] for row in self._chosen(split, i, stage)])

    def _words(self, line: str, place: str) -> tuple[str, ...]:
        words = tuple("".join(line.split()))
        for word in words:
            if word not in SYMBOLS:
                raise UserError(f"{place}: {word!r} is not a symbol of HINT; there are {' '.join(SYMBOLS)}")
        try:
            values(parsed(words))
        except ValueError as error:
            raise UserError(f"{place}: {error}") from None
        except ZeroDivisionError:
            raise UserError(f"{place}: a part of the expression is divided by 0") from None
        return words

    def _shown(self, value: Any) -> str:
        return "?" if value is None else str(value)

    def _joined(self, words: Sequence[str]) -> str:
        return "".join(words)


def symbol_accuracy(
    *, perceived: Int[Tensor, "batch time"], symbols: Int[Tensor, "batch time"], lengths: Int[Tensor, "batch"]
) -> Share:
    """Share of images whose symbol is read right."""
    there = torch.arange(symbols.shape[1]) < lengths[:, None]
    return ((perceived == symbols) & there).sum(), int(lengths.sum())


class HintImages(Hint):
    """HINT with an image of each symbol, 8 x 8: handwritten digits of scikit-learn, drawn operators and brackets.

    Training, validation and tests have images of their own. The published images cannot be made again.

    Args:
        limit: Expressions of each test.

    Examples:
        data: {name: hint-images, num_examples: 2200, limit: 200}
    """

    metrics: Mapping[str, Any] = {"accuracy": accuracy, "symbol-accuracy": symbol_accuracy}
    input_shape: tuple[int, ...] = (8, 8)

    def __init__(self, limit: Annotated[int, Ge(1)] = 200, **common: Any) -> None:
        super().__init__(limit=limit, **common)

    def prepare(self) -> None:
        super().prepare()
        self._galleries = gallery(self.symbols)

    def labelled(self, count: int) -> tuple[Tensor, Tensor]:
        """Returns `count` training images of each symbol, (images, 8, 8), and the symbols, (images,)."""
        symbols = torch.arange(self.vocab_size).repeat_interleave(count)
        return self._galleries["train"].draw(symbols, generator(self.seed, "labelled")), symbols

    def batch(self, split: str, i: int, stage: int = 10**6) -> ImagesBatch:  # type: ignore[override]  # images, not symbols
        batch = self._batch([self._pairs[split][row] for row in self._chosen(split, i, stage)])
        part = split if split in ("train", "val") else "test"
        draws = generator(self.seed, split, i)
        return {
            "images": self._drawn(self._galleries[part], batch["tokens"], batch["lengths"], draws),
            "lengths": batch["lengths"],
            "targets": batch["targets"],
            "symbols": batch["tokens"],
        }

    def read(self, path: Path) -> Batch:
        """Reads a text file with an expression on each line, and writes each with images of the tests."""
        batch = super().read(path)
        draws = generator(self.seed, "read")
        images = self._drawn(gallery(self.symbols)["test"], batch["tokens"], batch["lengths"], draws)
        return {"images": images, "lengths": batch["lengths"]}

    def _drawn(self, source: Gallery, tokens: Tensor, lengths: Tensor, draws: torch.Generator) -> Tensor:
        images = source.draw(tokens.flatten(), draws).unflatten(0, tokens.shape)
        there = torch.arange(tokens.shape[1]) < lengths[:, None]
        return images * there[:, :, None, None]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws the first expressions, each image with the symbol that was read, green where it is right."""
        images, captions, right = [], [], []
        for row, n in enumerate(batch["lengths"].tolist()[:ROWS]):
            for place in range(n):
                read = int(outputs["perceived"][row, place])
                images.append(batch["images"][row, place])
                captions.append(self.symbols[read])
                right.append(read == int(batch["symbols"][row, place]) if "symbols" in batch else None)
        return [draw_sheet(torch.stack(images), captions, right, out)]


ROWS = 4
"""Expressions that are drawn."""
