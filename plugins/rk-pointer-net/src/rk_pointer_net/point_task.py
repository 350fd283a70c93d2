"""The base of the tasks over points: sets drawn from the unit square, splits, and reading user files."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rk.fields import IGNORED
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator
from rk_pointer_net.reading import PointSet, read_point_sets
from rk_pointer_net.styles import DrawingStyle


class PointBatch(TypedDict):
    """Point sets of one size, and their answers as point numbers from 1, then END (0), then padding (-100)."""

    points: Float[Tensor, "batch points 2"]
    targets: Int[Tensor, "batch steps"]
    lengths: NotRequired[Int[Tensor, "batch"]]
    """How many points are real: only in a file with sets of several sizes."""


class PointTask:
    """Points drawn uniformly from the unit square; sets are generated and never repeat.

    All sets of a batch have the same size, so that nothing is padded: it is drawn for every training batch, and
    goes evenly through the range in `val`.

    Args:
        num_points: Smallest and largest size of a set in training and validation.
        batch_size: Sets per batch.
        test_sizes: A test split `test-N` for each of these sizes; null tests both ends of `num_points`, or has one
            split `test` where they are equal.
        test_examples: Sets per test split.
        val_examples: Sets in `val`.
        seed: Every set is a function of it.
    """

    renamed = {"n_points": "num_points"}

    _style: DrawingStyle
    """How answers are drawn."""
    _answer: Callable[[PointSet, Tensor], dict[str, Any]]
    """How one set's answer compares with the truth: a method of each task, which `answers` calls."""
    _needs = "this task needs at least 3"
    """The error for a file with fewer points."""
    _keeps_shape = False
    """Whether a user's points are scaled alike along both axes: what depends on lengths asks for it."""

    def __init__(
        self,
        *,
        seed: int,
        num_points: tuple[Annotated[int, Ge(3)], Annotated[int, Ge(3)]] = (5, 10),
        batch_size: Annotated[int, Ge(1)] = 128,
        test_sizes: list[Annotated[int, Ge(3)]] | None = None,
        test_examples: Annotated[int, Ge(1)] = 1000,
        val_examples: Annotated[int, Ge(1)] = 1000,
    ) -> None:
        self.seed = seed
        self.smallest, self.largest = num_points
        self.batch_size = batch_size
        if self.smallest > self.largest:
            raise ValueError(
                f"num_points: [{self.smallest}, {self.largest}] is not a range: put the smaller size first"
            )
        if test_sizes is None and self.smallest == self.largest:
            self._tests = {"test": self.largest}
        else:
            self._tests = {f"test-{n}": n for n in (num_points if test_sizes is None else test_sizes)}
        self._examples = {"val": val_examples} | dict.fromkeys(self._tests, test_examples)

    @property
    def max_points(self) -> int:
        """Most points of a set in training."""
        return self.largest

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val", *self._tests)

    def batches(self, split: str) -> int | None:
        return None if split == "train" else batch_count(self._examples[split], self.batch_size)

    def draw(self, split: str, i: int) -> Float[Tensor, "batch points 2"]:
        """Returns the points of batch `i`: a function of the seed and these arguments."""
        rows = self.batch_size
        if split == "train":
            random = generator(self.seed, 0, i)
            n = int(torch.randint(self.smallest, self.largest + 1, (), generator=random))
        else:
            count = batch_count(self._examples[split], self.batch_size)
            i %= count
            rows = min(rows, self._examples[split] - i * self.batch_size)
            if split == "val":
                random = generator(self.seed, 1, i)
                n = self.smallest + round((self.largest - self.smallest) * i / max(1, count - 1))
            else:
                n = self._tests[split]
                random = generator(self.seed, 1 + n, i)  # a size's tests are the same whatever else is tested
        return torch.rand(rows, n, 2, generator=random)

    def read(self, path: Path) -> Batch:
        """Reads CSV, JSON or the paper's lines; what the user wrote stays in ``sets_meta``.

        Points are stretched over the unit square. Sets of unequal size are padded, with `lengths`.
        """
        sets = read_point_sets(path, self._needs)
        batch = {
            "points": pad_sequence([s.in_unit_square(self._keeps_shape) for s in sets], batch_first=True),
            "sets_meta": sets,
        }
        sizes = [len(points.coordinates) for points in sets]
        if len(set(sizes)) > 1:
            batch["lengths"] = torch.tensor(sizes)
        return batch

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each set its answer, and how that compares with the truth, in the user's own coordinates."""
        return [
            self._answer(points, pointers)
            for points, pointers in zip(sets_of(batch), outputs["pointers"].cpu(), strict=True)
        ]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws answers and the truth: a map with labels for a single set, else a grid of up to 12."""
        from rk_pointer_net.drawing import draw  # matplotlib: loaded only to draw

        return draw(sets_of(batch), self.answers(batch, outputs), self._style, out)


def pad_after_end(answers: Int[Tensor, "b k"], lengths: Int[Tensor, "b"]) -> Int[Tensor, "b k"]:
    """Keeps the first 0 of every row, END, behind `lengths` numbers, and marks those after it as padding."""
    place = torch.arange(answers.shape[1])
    return answers.masked_fill(place > lengths.unsqueeze(1), IGNORED)


def sets_of(batch: Batch) -> list[PointSet]:
    """Returns the sets as the user wrote them, or, of a generated batch, as they are."""
    return batch.get("sets_meta") or [PointSet(points.double()) for points in batch["points"].cpu()]
