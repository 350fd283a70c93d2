"""The data `sudoku`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import numpy as np
import torch
from annotated_types import Ge, Le
from jaxtyping import Float, Int
from torch import Tensor

from rk.protocols import Batch, Outputs
from rk.sampling import batch_count
from rk_rrn.puzzles import Puzzles, canonical, generate, solved
from rk_rrn.royle import royle_puzzles
from rk_rrn.solver import Grid, neighbours
from rk_rrn.sudoku_text import answered, read_sudokus


class SudokuBatch(TypedDict):
    """Sudokus as graphs of cells: the digit (0: none), row and column of each, and the digits of the solution."""

    attributes: Int[Tensor, "batch nodes 3"]
    targets: Int[Tensor, "batch nodes"]


def digit_accuracy(
    *,
    logits: Float[Tensor, "batch nodes classes"],
    attributes: Int[Tensor, "batch nodes 3"],
    targets: Int[Tensor, "batch nodes"],
) -> tuple[Tensor, Tensor]:
    """Share of the empty cells whose digit is right."""
    empty = attributes[..., 0] == 0
    return ((logits.argmax(-1) == targets) & empty).sum(), empty.sum()


def puzzle_accuracy(
    *, logits: Float[Tensor, "batch nodes classes"], targets: Int[Tensor, "batch nodes"]
) -> tuple[Tensor, int]:
    """Share of the sudokus of which every cell is right."""
    return (logits.argmax(-1) == targets).all(-1).sum(), len(targets)


def second_half_gain(
    *,
    logits: Float[Tensor, "batch nodes classes"],
    targets: Int[Tensor, "batch nodes"],
    step_logits: Float[Tensor, "batch steps nodes classes"] | None = None,
) -> tuple[Tensor, int]:
    """How much the second half of the steps adds to the share of solved sudokus."""
    after = (logits.argmax(-1) == targets).all(-1).sum()
    if step_logits is None or step_logits.shape[1] < 2:
        return torch.zeros_like(after), len(targets)
    half = step_logits[:, step_logits.shape[1] // 2 - 1]
    return after - (half.argmax(-1) == targets).all(-1).sum(), len(targets)


class Sudoku:
    """Sudokus with one solution; each cell is a node, and the cells of its row, column and box send to it.

    Minimal puzzles are generated, once, and kept in the cache folder (`RK_CACHE`); or they are the 49,151 with 17
    givens that Gordon Royle has collected. As in the paper, an example is a puzzle with its digits renamed at random
    and up to `max_extra_givens` more cells filled in. Puzzles whose solutions are renamings of each other are in the
    same split.

    `rk predict` takes text: one sudoku a line, or a line for each row; a dot or 0 where a cell is empty.

    Args:
        box_rows: Rows of a box: 2 for 4x4 and 6x6, 3 for 9x9.
        box_cols: Columns of a box: 2 for 4x4, 3 for 6x6 and 9x9.
        source: Puzzles are `generated`, or those of `royle`, all with 17 givens.
        num_puzzles: Puzzles that are generated; a tenth each is for validation and tests.
        max_extra_givens: Most cells that are filled in besides; the number is uniform.
        rename_digits: Renames the digits of each example at random.
        test_givens: For each pair of numbers, a split `test-LOW-HIGH` of puzzles with so many givens; null: one split
            `test`, drawn like the training data.
        batch_size: Sudokus of a batch.
        val_examples: Sudokus of `val`.
        test_examples: Sudokus of each test split.
        seed: Puzzles, splits and examples are a function of it.

    Examples:
        data: {name: sudoku, box_rows: 2, box_cols: 3, max_extra_givens: 8, test_givens: [[8, 10], [14, 18]]}
    """

    level: Literal["node"] = "node"
    node_features: Literal[0] = 0
    metrics = {
        "digit-accuracy": digit_accuracy,
        "puzzle-accuracy": puzzle_accuracy,
        "second-half-gain": second_half_gain,
    }
    text_ending = (".txt",)

    def __init__(
        self,
        *,
        seed: int,
        box_rows: Annotated[int, Ge(2), Le(3)] = 3,
        box_cols: Annotated[int, Ge(2), Le(3)] = 3,
        source: Literal["generated", "royle"] = "generated",
        num_puzzles: Annotated[int, Ge(10)] = 10000,
        max_extra_givens: Annotated[int, Ge(0)] = 17,
        rename_digits: bool = True,
        test_givens: list[tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]]] | None = None,
        batch_size: Annotated[int, Ge(1)] = 32,
        val_examples: Annotated[int, Ge(1)] = 512,
        test_examples: Annotated[int, Ge(1)] = 1000,
    ) -> None:
        self._grid = Grid(box_rows, box_cols)
        if source == "royle" and self._grid != Grid(3, 3):
            raise ValueError("source royle has 9x9 sudokus: it needs box_rows 3 and box_cols 3")
        for low, high in test_givens or ():
            if not low <= high <= self._grid.cells:
                raise ValueError(
                    f"test_givens must be pairs of ascending numbers up to {self._grid.cells}, got [{low}, {high}]"
                )
        self._seed = seed
        self._source = source
        self._num_puzzles = num_puzzles
        self._max_extra = max_extra_givens
        self._rename = rename_digits
        self._batch_size = batch_size
        ranges = {_name(low, high): (low, high) for low, high in test_givens or ()}
        self._givens: dict[str, tuple[int, int] | None] = {"train": None, "val": None, **(ranges or {"test": None})}
        self._examples = {"val": val_examples} | dict.fromkeys([*self._givens][2:], test_examples)
        self._pools: dict[str, Puzzles] = {}

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self._givens)

    @property
    def num_classes(self) -> int:
        """Digits, and 0, which is never right."""
        return self._grid.n + 1

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        """Values of the digit, the row and the column of a cell."""
        return (self._grid.n + 1, self._grid.n, self._grid.n)

    @property
    def neighbours(self) -> list[list[int]]:
        """The cells in the same row, column or box of each cell."""
        return neighbours(self._grid)

    def prepare(self) -> None:
        """Loads or generates the puzzles, and splits them."""
        if self._source == "royle":
            puzzles, val, test = solved(royle_puzzles(), self._grid), 1000, 10000
        else:
            puzzles = generate(self._num_puzzles, self._grid, self._seed)
            val = test = self._num_puzzles // 10
        parts = split_by_solution(puzzles, self._grid, val, test, self._seed)
        self._pools = {name: Puzzles(*(array[rows] for array in puzzles)) for name, rows in parts.items()}

    def batches(self, split: str) -> int | None:
        return None if split == "train" else batch_count(self._examples[split], self._batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> SudokuBatch:
        rows = self._batch_size
        if split != "train":
            i %= batch_count(self._examples[split], self._batch_size)
            rows = min(rows, self._examples[split] - i * rows)
        random = np.random.default_rng([self._seed, *split.encode(), i])
        puzzles = self._draw(self._pools[split.partition("-")[0]], rows, self._givens[split], random)
        return {
            "attributes": attributes_of(puzzles.givens, self._grid),
            "targets": torch.from_numpy(puzzles.solutions.astype(np.int64)),
        }

    def _draw(self, pool: Puzzles, rows: int, givens: tuple[int, int] | None, random: np.random.Generator) -> Puzzles:
        """Returns puzzles of the pool with renamed digits and more givens."""
        counts = (pool.givens > 0).sum(1)
        if givens is None:
            chosen = random.integers(len(counts), size=rows)
            extra = random.integers(self._max_extra + 1, size=rows)
        else:
            wanted = random.integers(givens[0], givens[1] + 1, size=rows).clip(min=counts.min())
            order = counts.argsort(kind="stable")
            fitting = np.searchsorted(counts[order], wanted, side="right")
            chosen = order[random.integers(fitting)]
            extra = wanted - counts[chosen]
        quiz, solution = pool.givens[chosen], pool.solutions[chosen]
        key = random.random(quiz.shape) + (quiz > 0)  # cells that are empty come first, in random order
        filled = key.argsort(1).argsort(1) < extra[:, None]
        quiz = np.where(filled, solution, quiz)
        if self._rename:
            names = np.tile(np.arange(self._grid.n + 1, dtype=np.uint8), (rows, 1))
            random.permuted(names[:, 1:], axis=1, out=names[:, 1:])
            quiz, solution = (np.take_along_axis(names, x.astype(np.int64), 1) for x in (quiz, solution))
        return Puzzles(quiz, solution)

    def read(self, path: Path) -> Batch:
        """Reads sudokus from text. Raises `rk.UserError` for other text, and where givens contradict each other."""
        return {"attributes": attributes_of(read_sudokus(path, self._grid), self._grid)}

    def buckets(self, batch: Batch) -> Int[Tensor, "batch"]:
        """Returns the number of givens of each sudoku: the difficulty, for `step-accuracy`."""
        return (batch["attributes"][..., 0] > 0).sum(1)

    bucket_name = "givens"

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns each sudoku with its cells filled in, whether that keeps the rules, and how sure the network is."""
        givens = batch["attributes"][..., 0].cpu().numpy().astype(np.uint8)
        return answered(givens, outputs["logits"].cpu(), self._grid)

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws sudokus over the steps of the network: digits in colours of its confidence."""
        from rk_rrn.sudoku_drawing import draw_steps  # matplotlib: loaded only to draw

        return [draw_steps(batch["attributes"][..., 0].cpu(), outputs["step_logits"].cpu(), self._grid, out)]

    def preprocessing(self) -> dict[str, Any]:
        """Returns how a text becomes ``attributes``."""
        return {
            "field": "attributes",
            "from": "sudoku",
            "characters": self._grid.cells,
            "empty": [".", "0"],
            "attributes": ["digit", "row", "column"],
            "box": list(self._grid),
        }


def _name(low: int, high: int) -> str:
    return f"test-{low}" if low == high else f"test-{low}-{high}"


def attributes_of(givens: np.ndarray, grid: Grid) -> Int[Tensor, "batch nodes 3"]:
    """Returns the digit, the row and the column of each cell."""
    digits = torch.from_numpy(givens.astype(np.int64))
    places = torch.arange(grid.cells).expand_as(digits)
    return torch.stack([digits, places // grid.n, places % grid.n], -1)


def split_by_solution(puzzles: Puzzles, grid: Grid, val: int, test: int, seed: int) -> dict[str, np.ndarray]:
    """Returns the rows of each split: at least `val` and `test` puzzles, and the rest for training.

    Puzzles whose solutions are renamings of each other stay together: renaming digits would make one of the other.
    """
    _, group = np.unique(canonical(puzzles.solutions, grid), axis=0, return_inverse=True)
    group = group.ravel()  # numpy 2.0 gives it another axis
    sizes = np.bincount(group)
    order = np.random.default_rng([seed, 1]).permutation(len(sizes))
    before = sizes[order].cumsum() - sizes[order]
    parts = np.where(before < val, 0, np.where(before < val + test, 1, 2))
    part_of = np.empty(len(sizes), dtype=np.int64)
    part_of[order] = parts
    return {name: np.flatnonzero(part_of[group] == number) for number, name in enumerate(("val", "test", "train"))}
