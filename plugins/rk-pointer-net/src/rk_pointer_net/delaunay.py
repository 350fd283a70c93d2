"""Task `delaunay`: points in the unit square, and their Delaunay triangulation as a list of point numbers."""

from typing import Annotated, Any, Literal

from annotated_types import Ge
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from rk.sampling import generator
from rk_pointer_net.point_task import PointBatch, PointTask, pad_after_end
from rk_pointer_net.reading import PointSet
from rk_pointer_net.styles import TRIANGULATIONS
from rk_pointer_net.triangle_metrics import (
    judge,
    triangle_accuracy,
    triangle_coverage,
    triangulation_rate,
    whole_triangles,
)
from rk_pointer_net.triangulations import shuffled, triangulations


class Delaunay(PointTask):
    """Finds the Delaunay triangulation of points drawn uniformly from the unit square; sets never repeat.

    An answer lists the triangles, three numbers each, which ascend inside a triangle. A triangulation of n points has
    up to 2n - 5 triangles: give the model a `max_answer` of 3 (2n - 5) + 1. All sets of a batch have the same size; it
    is drawn for every training batch, and goes evenly through the range in `val`.

    Args:
        num_points: Smallest and largest size of a set in training and validation.
        order: How the triangles of a target are ordered: by `incenter` as in the paper, or at `random`, their numbers
            too, to see what the order is worth.

    Examples:
        data: {name: delaunay, num_points: [5, 5], order: incenter}
    """

    metrics = {
        "accuracy": triangle_accuracy,
        "coverage": triangle_coverage,
        "valid": triangulation_rate,
    }
    _style = TRIANGULATIONS
    _needs = "a triangulation needs at least 3"
    _keeps_shape = True  # circles must stay circles

    def __init__(
        self,
        *,
        num_points: tuple[Annotated[int, Ge(3)], Annotated[int, Ge(3)]] = (5, 5),
        order: Literal["incenter", "random"] = "incenter",
        **common: Any,
    ) -> None:
        super().__init__(num_points=num_points, **common)
        self.order = order

    def batch(self, split: str, i: int, stage: int = 0) -> PointBatch:
        points = self.draw(split, i)
        triangles = triangulations(points)
        if self.order == "random":
            # a stream apart from those of `draw`: 0 train, 1 val, n for the test of n points
            triangles = shuffled(triangles, generator(self.seed, 2, self._tests.get(split, split == "val"), i))
        lengths = (triangles > 0).sum(1)
        return {"points": points, "targets": pad_after_end(F.pad(triangles, (0, 1)), lengths)}

    def _answer(self, points: PointSet, pointers: Int[Tensor, "m"]) -> dict[str, Any]:
        pointers = pointers.unsqueeze(0)
        coordinates = points.coordinates.unsqueeze(0)
        truth = triangulations(coordinates)
        verdict = judge(coordinates, truth, pointers)
        answered, _ = whole_triangles(pointers)
        triangles, true_triangles = (
            [triangle for triangle in row.view(-1, 3).tolist() if triangle[0]] for row in (answered, truth)
        )
        answer = {
            "triangles": triangles,
            "ended": bool((pointers == 0).any()),
            "valid": bool(verdict.valid),
            "exact": bool(verdict.exact),
            "coverage": int(verdict.found) / int(verdict.wanted) if verdict.wanted else None,
            "true_triangles": true_triangles,
        }
        if points.labels:
            answer["labels"] = [[points.labels[j - 1] for j in triangle] for triangle in triangles]
        return answer
