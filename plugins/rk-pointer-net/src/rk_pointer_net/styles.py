"""Drawing styles: how an answer of each task, as `Data.answers` returns it, is drawn and put into words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Answer = dict[str, Any]
Rings = list[list[int]]
"""Closed lines through points, as point numbers from 1; no line is empty."""


@dataclass(frozen=True)
class DrawingStyle:
    """How answers of one task are drawn."""

    task: str
    truth_name: str
    """The word for right answers."""
    kinds: tuple[str, str, str]
    """The legend: right answers, other answers, the truth."""
    is_right: Callable[[Answer], bool]
    verdict: Callable[[Answer], str]
    """A few words on how good it is."""
    answered: Callable[[Answer], list[tuple[list[int], bool]]]
    """The rings of an answer, and whether each is right."""
    truth: Callable[[Answer], Rings]
    important: Callable[[Answer], set[int]]
    """The points of an answer that are ringed, and labelled first."""
    is_area: bool
    """Whether rings are filled."""


def _hull_verdict(answer: Answer) -> str:
    if answer["exact"]:
        return "exact"
    if answer["valid"]:
        return f"{answer['area_share']:.1%} of the area"
    if not answer["ended"]:
        return "never ends"
    if len(answer["hull"]) < 3:
        return "no polygon"
    return "a point twice" if len(set(answer["hull"])) < len(answer["hull"]) else "crosses itself"


def _is_best(answer: Answer) -> bool:
    return answer["valid"] and answer["gap"] <= 0


def _tour_verdict(answer: Answer) -> str:
    if answer["valid"]:
        best = "the shortest" if answer["best_is_optimal"] else "the best known"
        if answer["gap"] == 0:
            return f"{best} tour"
        return f"{abs(answer['gap']):.1%} {'longer' if answer['gap'] > 0 else 'shorter'} than {best}"
    if not answer["ended"]:
        return "never ends"
    return "a point twice" if len(set(answer["tour"])) < len(answer["tour"]) else "misses a point"


def _triangulation_verdict(answer: Answer) -> str:
    if answer["exact"]:
        return "exact"
    if answer["coverage"] is None:
        return "there is none"
    share = f"{answer['coverage']:.0%} of the triangles"
    return share if answer["ended"] else f"{share}, never ends"


HULLS = DrawingStyle(
    task="Convex hull",
    truth_name="the convex hull",
    kinds=("answer: the hull", "answer: not the hull", "true hull"),
    is_right=lambda answer: answer["exact"],
    verdict=_hull_verdict,
    answered=lambda answer: [(answer["hull"], answer["exact"])] if answer["hull"] else [],
    truth=lambda answer: [answer["true_hull"]],
    important=lambda answer: {*answer["hull"], *answer["true_hull"]},
    is_area=True,
)

TOURS = DrawingStyle(
    task="Tour",
    truth_name="as short as the best tour",
    kinds=("answer: as short as the best", "answer: another tour", "best tour"),
    is_right=_is_best,
    verdict=_tour_verdict,
    answered=lambda answer: [(answer["tour"], _is_best(answer))] if answer["tour"] else [],
    truth=lambda answer: [answer["best_tour"]],
    important=lambda answer: {1},
    is_area=False,
)

TRIANGULATIONS = DrawingStyle(
    task="Delaunay triangulation",
    truth_name="the triangulation",
    kinds=("answer: a true triangle", "answer: another triangle", "true triangulation"),
    is_right=lambda answer: answer["exact"],
    verdict=_triangulation_verdict,
    answered=lambda answer: [(t, sorted(t) in answer["true_triangles"]) for t in answer["triangles"]],
    truth=lambda answer: answer["true_triangles"],
    important=lambda answer: {j for t in (*answer["triangles"], *answer["true_triangles"]) for j in t},
    is_area=True,
)
