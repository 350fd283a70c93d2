"""Task `convex-hull`: points in the unit square, and the polygon around them as a list of point numbers."""

from typing import Any

from jaxtyping import Int
from torch import Tensor

from rk_pointer_net.hull import convex_hulls, vertex_counts
from rk_pointer_net.metrics import AreaCoverage, ValidArea, hull_accuracy, judge, valid_rate
from rk_pointer_net.point_task import PointBatch, PointTask, pad_after_end
from rk_pointer_net.reading import PointSet
from rk_pointer_net.styles import HULLS


class ConvexHull(PointTask):
    """Finds the convex hull of points drawn uniformly from the unit square; sets are generated and never repeat.

    An answer lists the hull's points counter-clockwise, beginning with the lowest number. All sets of a batch have the
    same size, so that nothing is padded: it is drawn for every training batch, and goes evenly through the range
    in `val`.

    Examples:
        data: {name: convex-hull, num_points: [5, 10], test_sizes: [5, 10, 20]}
    """

    metrics = {
        "accuracy": hull_accuracy,
        "area": AreaCoverage,
        "area-valid": ValidArea,
        "valid": valid_rate,
    }
    _style = HULLS
    _needs = "a convex hull needs at least 3"

    def batch(self, split: str, i: int, stage: int = 0) -> PointBatch:
        points = self.draw(split, i)
        hulls = convex_hulls(points)
        return {"points": points, "targets": pad_after_end(hulls, vertex_counts(hulls))}

    def _answer(self, points: PointSet, pointers: Int[Tensor, "m"]) -> dict[str, Any]:
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
