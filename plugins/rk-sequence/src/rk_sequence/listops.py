"""Task `listops`: nested expressions over lists of digits, in prefix notation: what is the value?"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt

from rk import UserError
from rk.protocols import Batch, Outputs
from rk.reading import lines_of, read_text
from rk_sequence.metrics import class_accuracy
from rk_sequence.task import TokenTask, integers

OPERATORS: dict[str, Callable[[Sequence[int]], int]] = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(statistics.median(values)),
    "[SM": lambda values: sum(values) % 10,
}
"""Token -> what it makes of the values of its list."""
CLOSE = "]"
TOKENS = (*map(str, range(10)), *OPERATORS, CLOSE)
NUMBER = {token: i for i, token in enumerate(TOKENS)}


class ListOps(TokenTask):
    """ListOps: ``[MAX 4 [MIN 2 3 ] 1 0 ]`` is 4 (arXiv:1804.06028, Sec. 2), with the settings of the Long Range Arena.

    Operators are MIN, MAX, MED, the median rounded down, and SM, the sum modulo 10. An expression is drawn from its
    root: each of an operator's 2 to `max_args` arguments is an expression again with the probability `branch`, else a
    digit. Those that have too many tokens, or too few, are drawn again. A run answers files with an expression on each
    line.

    The Long Range Arena (arXiv:2011.04006, Sec. 2.2.1) has ``length: 2000, max_depth: 10, max_args: 10``.

    Args:
        length: Most tokens of an expression in ``train``, ``val`` and ``test``; it has a quarter of them at least.
        test_lengths: A further split ``test-N`` for each of these lengths; null for none.
        max_depth: Most operators inside one another, the root included.
        max_args: Most arguments of an operator.
        branch: Share of arguments that are expressions, where the depth allows them.

    Raises:
        ValueError: When a `length` is less than 4, or more than `max_depth` and `max_args` allow.

    Examples:
        data: {name: listops, length: 100, test_lengths: [200]}
    """

    metrics = {"accuracy": class_accuracy}
    vocab_size: int = len(TOKENS)
    num_outputs: int = 10
    readout: Literal["mean"] = "mean"  # type: ignore[assignment]  # other tasks of tokens answer at each step
    text_ending = (".txt",)
    _shortest = 4

    def __init__(
        self,
        *,
        length: Annotated[int, Ge(4)] = 100,
        max_depth: Annotated[int, Ge(1)] = 10,
        max_args: Annotated[int, Ge(2)] = 10,
        branch: Annotated[float, Gt(0), Lt(1)] = 0.25,
        **common: Any,
    ) -> None:
        super().__init__(length=length, **common)
        most = longest(max_depth, max_args)
        for each in self.test_lengths.values():
            if each // 4 > most:
                depths = f"max_depth {max_depth} and max_args {max_args} allow {most}"
                raise ValueError(f"a length of {each} needs {each // 4} tokens at least, {depths}")
        self.max_depth = max_depth
        self.max_args = max_args
        self.branch = branch

    def draw(self, rows: int, length: int, random: torch.Generator) -> Batch:
        drawn = [self._expression(length, int(seed)) for seed in integers(2**31, (rows,), random)]
        return {**padded([tokens for tokens, _ in drawn]), "targets": torch.tensor([value for _, value in drawn])}

    def _expression(self, length: int, seed: int) -> tuple[list[int], int]:
        """Returns the tokens of an expression, a quarter of `length` to `length`, and its value."""
        source = random.Random(seed)
        while True:
            tokens: list[int] = []
            value = self._write(tokens, length, self.max_depth, source)
            if value is not None and len(tokens) >= length // 4:
                return tokens, value

    def _write(self, tokens: list[int], length: int, depth: int, source: random.Random) -> int | None:
        """Appends an operator with its arguments; returns its value, or None when there are too many tokens."""
        operator = source.choice(list(OPERATORS))
        tokens.append(NUMBER[operator])
        values = []
        for _ in range(source.randint(2, self.max_args)):
            if depth > 1 and source.random() < self.branch:
                value = self._write(tokens, length, depth - 1, source)
            else:
                value = source.randrange(10)
                tokens.append(value)
            if value is None or len(tokens) >= length:
                return None
            values.append(value)
        tokens.append(NUMBER[CLOSE])
        return OPERATORS[operator](values)

    def read(self, path: Path) -> Batch:
        """Reads a text file with an expression on each line, with tokens apart by spaces."""
        lines = [(i, line.split()) for i, line in enumerate(lines_of(read_text(path)), 1) if line.strip()]
        if not lines:
            raise UserError(f"{path}: the file is empty", "give an expression on each line: [MAX 4 [MIN 2 3 ] 1 0 ]")
        for i, line in lines:
            for token in line:
                if token not in NUMBER:
                    raise UserError(f"{path}:{i}: expected {', '.join(TOKENS[10:])} or a digit, got {token!r}")
        return padded([[NUMBER[token] for token in line] for _, line in lines])

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the value of each expression, and its probability."""
        best = outputs["logits"].softmax(-1).max(-1)
        return [
            {"value": value, "probability": round(share, 4)}
            for value, share in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


def longest(max_depth: int, max_args: int) -> int:
    """Returns the most tokens that an expression can have."""
    found = 1
    for _ in range(max_depth):
        found = 2 + max_args * found
    return found


def padded(rows: Sequence[Sequence[int]]) -> Batch:
    """Returns rows of tokens as one tensor, with a mask of those that exist."""
    width = max(map(len, rows))
    return {
        "tokens": torch.tensor([[*row, *[0] * (width - len(row))] for row in rows]),
        "mask": torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows]),
    }
