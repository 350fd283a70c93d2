"""Data `binary-successor`: a number and the next one, as terms of constructors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Bool, Int
from rk_sequence.pairs import END_WORD, PairBatch, PairData
from rk_sequence.seq2seq import present
from torch import Tensor

from rk import UserError
from rk.fields import IGNORED
from rk.protocols import Batch
from rk.reading import read_text
from rk.sampling import generator
from rk_structural_recursion import numbers
from rk_structural_recursion.programs import successor_program

MOST = 20
"""Most digits of numbers that are all listed."""
ACCEPTED = "give a text file with a number on each line: decimal, or its constructors"


class BinarySuccessor(PairData):
    """A binary number and its successor, both as terms: 5 -> 6 is ``X1 X0 01 -> X0 X1 01`` (arXiv:2401.12947).

    ``01`` is 1, ``X0 n`` is 2n, ``X1 n`` is 2n + 1: the outermost constructor is the lowest digit. The depth of an
    example is the number of recursive calls: the ``X1`` in front, and one. With fair digits a depth of k has the
    probability 2^-k.

    Splits are by value: no number of ``val`` or ``test`` is trained on. They are drawn as in training. ``test-depth``
    has numbers of each depth alike, and ``test-N`` those of N digits, all depths alike.

    Args:
        min_length: Fewest constructors of a number.
        max_length: Most constructors of a number.
        order: Which digit comes first: the lowest (`natural`), or the highest (`reverse`).
        distribution: How numbers are drawn: each with the same probability, each length, or each depth. Most numbers
            have the full length and a small depth.
        edge_oversample: Share of the training examples that is drawn as in `depth-balanced` besides.
        held_out: Share of the numbers of each depth that is not trained on; half of it is validated. Of the few numbers
            of a large depth, half is not trained on.
        train_depth: Deepest number that is trained on; null: all. Of deeper ones, half is validated, half tested.
        test_lengths: A further split ``test-N`` for each of these lengths, above `max_length`; null for none.
        eval_examples: Examples of ``val``, ``test`` and ``test-N``.
        examples_per_depth: Most examples of each depth in ``test-depth``.
        file: Numbers of your own, in decimals or as constructors, in place of all from `min_length` to `max_length`.

    Raises:
        ValueError: When `min_length` is above `max_length`, or one of `test_lengths` is not.

    Examples:
        data: {name: binary-successor, max_length: 9, distribution: uniform-length}
    """

    depth_name = "recursion depth"
    programs: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "asm": (),
        "first-flip": (),
        "no-growth": (),
        "bounded": ("carry", "copy"),
    }
    """The programs that `run_program` has, and the limits of each."""

    def __init__(
        self,
        min_length: Annotated[int, Ge(1), Le(MOST)] = 1,
        max_length: Annotated[int, Ge(1), Le(MOST)] = 9,
        order: Literal["natural", "reverse"] = "natural",
        distribution: Literal["uniform-value", "uniform-length", "depth-balanced"] = "uniform-length",
        edge_oversample: Annotated[float, Ge(0), Le(1)] = 0.0,
        held_out: Annotated[float, Gt(0), Lt(1)] = 0.2,
        train_depth: Annotated[int, Ge(1)] | None = None,
        test_lengths: list[Annotated[int, Ge(1), Le(numbers.LONGEST)]] | None = None,
        eval_examples: Annotated[int, Ge(1)] = 512,
        examples_per_depth: Annotated[int, Ge(1)] = 64,
        file: Path | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if min_length > max_length:
            raise ValueError(f"min_length must be <= max_length {max_length}, got {min_length}")
        if short := [n for n in test_lengths or () if n <= max_length]:
            raise ValueError(f"test_lengths must be > max_length {max_length}, got {short[0]}")
        self.min_length, self.max_length = min_length, max_length
        self.reverse = order == "reverse"
        self.distribution = distribution
        self.edge_oversample = edge_oversample
        self.held_out = held_out
        self.train_depth = train_depth
        self.test_lengths = test_lengths or []
        self.eval_examples = eval_examples
        self.examples_per_depth = examples_per_depth
        self.file = file

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val", "test", "test-depth", *(f"test-{n}" for n in dict.fromkeys(self.test_lengths)))

    @property
    def source_words(self) -> list[str]:
        """The constructors."""
        return list(numbers.WORDS)

    @property
    def answer_words(self) -> list[str]:
        """The constructors, after the token that ends an answer."""
        return [END_WORD, *numbers.WORDS]

    def prepare(self) -> None:
        values = self._values()
        depth = numbers.depths(values)
        shares = numbers.random_shares(values, self.seed)
        val, test = numbers.held_out(depth, shares, self.held_out)
        if self.train_depth is not None:
            deep_val, deep_test = numbers.held_out(depth, shares, 1.0)
            deeper = depth > self.train_depth
            val, test = torch.where(deeper, deep_val, val), torch.where(deeper, deep_test, test)
        parts = {"train": values[~val & ~test], "val": values[val], "test": values[test]}
        for name, part in parts.items():
            if not len(part):
                where = self.file or f"{self.min_length} to {self.max_length} constructors"
                raise UserError(f"{where}: there are too few numbers: none is left for {name}", "take more")
        self.trained = parts["train"]
        self._usual = numbers.Groups(self.trained, self._keys(self.trained))
        self._deep = numbers.Groups(self.trained, numbers.depths(self.trained))
        self._evaluated: dict[str, Tensor] = {}
        for split in ("val", "test"):
            groups = numbers.Groups(parts[split], self._keys(parts[split]))
            self._evaluated[split] = groups.draw(self.eval_examples, generator(self.seed, split))
        shuffled = parts["test"][numbers.random_shares(parts["test"], self.seed + 1).argsort()]
        by_depth = numbers.Groups(shuffled, numbers.depths(shuffled))
        self._evaluated["test-depth"] = by_depth.first(self.examples_per_depth)
        for n in self.test_lengths:
            self._evaluated[f"test-{n}"] = self._of_length(n, generator(self.seed, f"test-{n}"))

    def _values(self) -> Int[Tensor, "n"]:
        """Returns all numbers that there are."""
        if self.file is None:
            return torch.arange(2 ** (self.min_length - 1), 2**self.max_length)
        lines = enumerate(read_text(self.file, ACCEPTED).splitlines(), 1)
        found = [value_of(self._natural(line.split()), f"{self.file}:{n}") for n, line in lines if line.strip()]
        if not found:
            raise UserError(f"{self.file}: expected a number on each line, got nothing", ACCEPTED)
        return torch.tensor(found).unique()

    def _keys(self, values: Int[Tensor, "n"]) -> Int[Tensor, "n"] | None:
        """Returns by what the distribution groups values."""
        if self.distribution == "uniform-value":
            return None
        return numbers.digit_counts(values) if self.distribution == "uniform-length" else numbers.depths(values)

    def _of_length(self, length: int, random: torch.Generator) -> Int[Tensor, "n"]:
        """Returns numbers of so many digits, all depths alike; the other digits are fair."""
        depth = torch.randint(1, length + 1, (self.eval_examples,), generator=random)
        low = 2 ** (depth - 1) - 1
        free = torch.randint(2 ** (length - 1), (self.eval_examples,), generator=random)
        top = 2 ** (length - 1)
        return torch.where(depth == length, 2 * top - 1, top + (free >> depth << depth) % top + low)

    def count(self, split: str) -> int:
        """Returns the examples of a split that is evaluated."""
        return len(self._evaluated[split])

    def batch(self, split: str, i: int, stage: int = 0) -> PairBatch:
        return self._fields(self._drawn(i) if split == "train" else self._evaluated[split][self.span(split, i)])

    def _drawn(self, i: int) -> Int[Tensor, "b"]:
        random = generator(self.seed, "train", i)
        values = self._usual.draw(self.batch_size, random)
        if not self.edge_oversample:
            return values
        edges = self._deep.draw(self.batch_size, random)
        return torch.where(torch.rand(self.batch_size, generator=random) < self.edge_oversample, edges, values)

    def _fields(self, values: Int[Tensor, "b"]) -> PairBatch:
        lengths = numbers.digit_counts(values)
        return {
            "tokens": numbers.terms(values, lengths, self.reverse),
            "lengths": lengths,
            "targets": numbers.successors(values, self.reverse),
            "depth": numbers.depths(values),
        }

    # -- a user's own numbers ------------------------------------------------------------------------------------------

    def words_of(self, line: str, place: str) -> list[str]:
        """Returns the constructors of a number, which may be decimal."""
        words = line.split()
        value = value_of(self._natural(words), place)
        return self._natural(written(value)) if words[0].isdecimal() and words != ["01"] else words

    def _natural(self, words: list[str]) -> list[str]:
        return words[::-1] if self.reverse else words

    def answers(self, batch: Batch, outputs: Any) -> list[dict[str, Any]]:
        """Returns each number with its successor, as terms and, where they are terms, as decimals."""
        found = super().answers(batch, outputs)
        for row in found:
            for key in ("input", "answer"):
                row[f"{key}_number"] = number_or_none(self._natural(row[key].split()))
        return found

    # -- the machine ---------------------------------------------------------------------------------------------------

    def run_program(self, batch: Batch, program: str, limits: Mapping[str, int]) -> Int[Tensor, "b s"]:
        """Returns what a program writes, as answers.

        Args:
            batch: Inputs.
            program: A name in `programs`.
            limits: Of `bounded`: the digits that it carries over, and those that it copies after a carry.
        """
        tokens, lengths = batch["tokens"].cpu(), batch["lengths"].cpu()
        digits = self._turned(tokens, lengths)
        written, counts = successor_program(digits, lengths, program, **limits)
        return numbers.as_answers(self._turned(written, counts), counts)

    def limits(self, batch: Batch) -> dict[str, int]:
        """Returns limits from which on `bounded` is exact."""
        longest = int(batch["lengths"].max())
        return {"carry": longest, "copy": longest}

    def _turned(self, tokens: Int[Tensor, "b t"], lengths: Int[Tensor, "b"]) -> Int[Tensor, "b t"]:
        """Returns terms in natural order from terms in the order of this data, or the other way round."""
        if not self.reverse:
            return tokens
        place = (lengths.unsqueeze(1) - 1 - torch.arange(tokens.shape[1])).clamp(min=0)
        return tokens.gather(1, place) * present(tokens, lengths)

    def phases(self, batch: Batch) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"], Bool[Tensor, "b s"]]:
        """Returns, for each token of the answer, the place of the digit that it is made of, and the machine's mode.

        The digit that a grown answer has more is made of the last one. Tokens behind are in neither mode.

        Returns:
            Place in the input, whether it is read in the mode carry, whether in the mode copy.
        """
        lengths, depth, targets = (batch[name].cpu() for name in ("lengths", "depth", "targets"))
        answered = (targets != IGNORED).sum(1) - 1
        place = torch.arange(targets.shape[1]).expand(len(targets), -1)
        digit = answered.unsqueeze(1) - 1 - place if self.reverse else place
        there = (digit >= 0) & (digit < lengths.unsqueeze(1)) & (place < answered.unsqueeze(1))
        aligned = lengths.unsqueeze(1) - 1 - digit if self.reverse else digit
        aligned = torch.minimum(aligned.clamp(min=0), lengths.unsqueeze(1) - 1)
        carry = there & (digit < depth.unsqueeze(1))
        return aligned, carry, there & ~carry


def value_of(words: list[str], place: str) -> int:
    """Returns a number from its decimals, or from its constructors, lowest digit first. Raises `rk.UserError`."""
    value = number_or_none(words)
    if len(words) == 1 and words[0] != "01" and words[0].isdecimal():
        value = int(words[0])
    if value is None or not 1 <= value < 2**numbers.LONGEST:
        shown = " ".join(words)[:40]
        raise UserError(f"{place}: expected a number from 1 to 2^{numbers.LONGEST} - 1, got {shown!r}", ACCEPTED)
    return value


def number_or_none(words: list[str]) -> int | None:
    """Returns the number that constructors are, lowest digit first; None where they are not a term."""
    if words[-1:] != ["01"] or not set(words[:-1]) <= {"X0", "X1"}:
        return None
    return sum((word == "X1") << i for i, word in enumerate(words[:-1])) + (1 << (len(words) - 1))


def written(n: int) -> list[str]:
    """Returns the constructors of a number, lowest digit first."""
    return [f"X{digit}" for digit in reversed(f"{n:b}"[1:])] + ["01"]
