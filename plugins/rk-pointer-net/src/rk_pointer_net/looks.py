"""What each task has to show: how one of its answers, as `Data.answers` returns it, is drawn and put into words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Answer = dict[str, Any]
Rings = list[list[int]]
"""Closed lines through points, as point numbers from 1; none is empty."""


@dataclass(frozen=True)
class Look:
    """How the answers to one task are shown."""

    task: str
    truth_name: str
    """What answers are when they are right."""
    kinds: tuple[str, str, str]
    """The legend: right answers, other answers, the truth."""
    is_right: Callable[[Answer], bool]
    verdict: Callable[[Answer], str]
    """A few words on how good it is."""
    answered: Callable[[Answer], Rings]
    truth: Callable[[Answer], Rings]
    important: Callable[[Answer], set[int]]
    """Which points are ringed where an answer has them, and named first."""
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


def _tour_verdict(answer: Answer) -> str:
    if answer["valid"]:
        best = "the shortest" if answer["best_is_optimal"] else "the best known"
        if answer["gap"] == 0:
            return f"{best} tour"
        return f"{abs(answer['gap']):.1%} {'longer' if answer['gap'] > 0 else 'shorter'} than {best}"
    if not answer["ended"]:
        return "never ends"
    return "a point twice" if len(set(answer["tour"])) < len(answer["tour"]) else "misses a point"


HULLS = Look(
    task="Convex hull",
    truth_name="the convex hull",
    kinds=("answer: the hull", "answer: not the hull", "true hull"),
    is_right=lambda answer: answer["exact"],
    verdict=_hull_verdict,
    answered=lambda answer: [answer["hull"]] if answer["hull"] else [],
    truth=lambda answer: [answer["true_hull"]],
    important=lambda answer: {*answer["hull"], *answer["true_hull"]},
    is_area=True,
)

TOURS = Look(
    task="Tour",
    truth_name="as short as the best tour",
    kinds=("answer: as short as the best", "answer: another tour", "best tour"),
    is_right=lambda answer: answer["valid"] and answer["gap"] <= 0,
    verdict=_tour_verdict,
    answered=lambda answer: [answer["tour"]] if answer["tour"] else [],
    truth=lambda answer: [answer["best_tour"]],
    important=lambda answer: {1},
    is_area=False,
)
