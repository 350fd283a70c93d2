"""Task `convex-hull`: points in the unit square, and the polygon around them as a list of point numbers."""

from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator
from rk_pointer_net.hull import convex_hulls, vertex_counts
from rk_pointer_net.metrics import AreaCoverage, ValidArea, hull_accuracy, judge, valid_rate
from rk_pointer_net.reading import PointSet, read_point_sets

IGNORED = -100
"""What targets are padded with: torch's ``ignore_index``."""


class HullBatch(TypedDict):
    """Point sets of one size, and their hulls as numbers from 1, counter-clockwise from the lowest, then END (0)."""

    points: Float[Tensor, "batch points 2"]
    targets: Int[Tensor, "batch steps"]
    lengths: NotRequired[Int[Tensor, "batch"]]
    """How many points are real: only in a file with sets of several sizes."""


class ConvexHull:
    """Finds the convex hull of points drawn uniformly from the unit square; sets are generated and never repeat.

    All sets of a batch have the same size, so that nothing is padded: it is drawn anew for every training batch, and
    goes evenly through the range in `val`.

    Args:
        n_points: Smallest and largest size of a set in training and validation.
        batch_size: Sets per batch.
        test_sizes: A test split `test-N` for each of these sizes; null tests both ends of `n_points`, or has one split
            `test` where they are equal.
        test_examples: Sets per test split.
        val_examples: Sets in `val`.
        seed: Every set is a function of it.
    """

    metrics = {
        "accuracy": hull_accuracy,
        "area": AreaCoverage,
        "area-valid": ValidArea,
        "valid": valid_rate,
    }

    def __init__(
        self,
        *,
        seed: int,
        n_points: tuple[Annotated[int, Ge(3)], Annotated[int, Ge(3)]] = (5, 10),
        batch_size: Annotated[int, Ge(1)] = 128,
        test_sizes: list[Annotated[int, Ge(3)]] | None = None,
        test_examples: Annotated[int, Ge(1)] = 1000,
        val_examples: Annotated[int, Ge(1)] = 1000,
    ) -> None:
        self.seed = seed
        self.smallest, self.largest = n_points
        self.batch_size = batch_size
        if self.smallest > self.largest:
            raise ValueError(f"n_points: [{self.smallest}, {self.largest}] is no range; the smaller size comes first")
        if test_sizes is None and self.smallest == self.largest:
            self._tests = {"test": self.largest}
        else:
            self._tests = {f"test-{n}": n for n in (n_points if test_sizes is None else test_sizes)}
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

    def batch(self, split: str, i: int, stage: int = 0) -> HullBatch:
        rows = self.batch_size
        if split == "train":
            random = generator(self.seed, 0, i)
            n = int(torch.randint(self.smallest, self.largest + 1, (), generator=random))
        else:
            i %= self.batches(split)
            rows = min(rows, self._examples[split] - i * self.batch_size)
            if split == "val":
                random = generator(self.seed, 1, i)
                n = self.smallest + round((self.largest - self.smallest) * i / max(1, self.batches(split) - 1))
            else:
                n = self._tests[split]
                random = generator(self.seed, 1 + n, i)  # a size's tests are the same whatever else is tested
        points = torch.rand(rows, n, 2, generator=random)
        return {"points": points, "targets": _targets(convex_hulls(points))}

    def read(self, path: Path) -> Batch:
        """Reads CSV, JSON or the paper's lines; what the user wrote stays in ``sets_meta``.

        Points are stretched over the unit square, which keeps hulls. Sets of unequal size are padded, with `lengths`.
        """
        sets = read_point_sets(path)
        batch = {
            "points": pad_sequence([points.in_unit_square() for points in sets], batch_first=True),
            "sets_meta": sets,
        }
        sizes = [len(points.coordinates) for points in sets]
        if len(set(sizes)) > 1:
            batch["lengths"] = torch.tensor(sizes)
        return batch

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each set the answered hull, and how it compares with the true one of the user's coordinates."""
        return [
            _answer(points, pointers) for points, pointers in zip(_sets(batch), outputs["pointers"].cpu(), strict=True)
        ]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws answered and true hulls: a map with labels for a single set, else a grid of up to 12."""
        from rk_pointer_net.drawing import draw_grid, draw_map  # matplotlib: only for who draws

        sets, answers = _sets(batch), self.answers(batch, outputs)
        figure = draw_map(sets[0], answers[0]) if len(sets) == 1 else draw_grid(sets, answers)
        if out.suffix not in (".png", ".svg", ".pdf"):
            out = out.with_name(out.name + ".png")
        figure.savefig(out, dpi=160)
        return [out]


def _targets(hulls: Int[Tensor, "b k"]) -> Int[Tensor, "b k"]:
    """Keeps the first 0 of every row, END, and marks those after it as padding."""
    place = torch.arange(hulls.shape[1])
    return hulls.masked_fill(place > vertex_counts(hulls).unsqueeze(1), IGNORED)


def _sets(batch: Batch) -> list[PointSet]:
    """Returns the sets as the user wrote them, or, of a generated batch, as they are."""
    return batch.get("sets_meta") or [PointSet(points.double()) for points in batch["points"].cpu()]


def _answer(points: PointSet, pointers: Int[Tensor, "m"]) -> dict[str, Any]:
    pointers = pointers.unsqueeze(0)
    coordinates = points.coordinates.unsqueeze(0)
    truth = convex_hulls(coordinates)
    verdict = judge(coordinates, truth, pointers)
    hull, true_hull = (row[0, : int(vertex_counts(row))].tolist() for row in (pointers, truth))
    answer = {
        "hull": hull,
        "coordinates": [points.coordinates[j - 1].tolist() for j in hull],
        "ended": bool((pointers == 0).any()),
        "valid": bool(verdict.valid),
        "exact": bool(verdict.exact),
        "area_share": float(verdict.share) if verdict.valid else None,
        "true_hull": true_hull,
    }
    if points.labels:
        answer["labels"] = [points.labels[j - 1] for j in hull]
    return answer
