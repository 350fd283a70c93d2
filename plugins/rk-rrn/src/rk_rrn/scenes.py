"""Scenes of Pretty-CLEVR: coloured markers in a square, and walks to the nearest object that was not visited yet."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

COLOURS = ("blue", "green", "red", "cyan", "magenta", "yellow", "black", "gray")
MARKERS = ("o", "v", "^", "<", ">", "s", "P", "X")
"""Markers as matplotlib names them."""
LABELS = (*COLOURS, *MARKERS)
"""What a question starts at, and what is answered: class numbers are places in it."""
KINDS = len(COLOURS)
MOST_JUMPS = 7
SMALLEST_DISTANCE = 0.1

# b batch, n objects


class Scenes(NamedTuple):
    """Scenes: object by object a place, a colour and a marker."""

    places: Float[Tensor, "b n 2"]
    colours: Int[Tensor, "b n"]
    markers: Int[Tensor, "b n"]


class Questions(NamedTuple):
    """One question about each scene, and its answer."""

    anchors: Int[Tensor, "b"]
    """The colour, or the marker behind the colours, of the first object."""
    jumps: Int[Tensor, "b"]
    targets: Int[Tensor, "b"]
    """The marker of the last object, where the anchor is a colour; else its colour."""


def draw_scenes(count: int, num_objects: int, random: torch.Generator) -> Scenes:
    """Returns random scenes: places uniform in the unit square, drawn again until no two are within 0.1.

    Each colour and each marker comes at most once in a scene.
    """
    places = torch.rand(count, num_objects, 2, generator=random)
    while (crowded := _crowded(places)).any():
        places[crowded] = torch.rand(int(crowded.sum()), num_objects, 2, generator=random)
    colours, markers = (torch.rand(count, KINDS, generator=random).argsort(1)[:, :num_objects] for _ in range(2))
    return Scenes(places, colours, markers)


def _crowded(places: Float[Tensor, "b n 2"]) -> Tensor:
    distances = torch.cdist(places, places) + torch.eye(places.shape[1])
    return (distances <= SMALLEST_DISTANCE).flatten(1).any(1)


def walks(places: Float[Tensor, "b n 2"], start: Int[Tensor, "b"]) -> Int[Tensor, "b n"]:
    """Returns the objects in the order of a walk: from each to the nearest that was not visited before."""
    distances = torch.cdist(places.double(), places.double())
    rows, here, order = torch.arange(len(places)), start, [start]
    visited = torch.zeros(places.shape[:2], dtype=torch.bool)
    for _ in range(places.shape[1] - 1):
        visited[rows, here] = True
        here = distances[rows, here].masked_fill(visited, torch.inf).argmin(1)
        order.append(here)
    return torch.stack(order, 1)


def ask(scenes: Scenes, jumps: Int[Tensor, "b"], random: torch.Generator) -> Questions:
    """Returns a question about each scene: any object, named by its colour or its marker, and so many jumps."""
    count, objects = scenes.colours.shape
    start = torch.randint(objects, (count,), generator=random)
    by_marker = torch.rand(count, generator=random) < 0.5
    return questions(scenes, start, by_marker, jumps)


def questions(scenes: Scenes, start: Int[Tensor, "b"], by_marker: Tensor, jumps: Int[Tensor, "b"]) -> Questions:
    """Returns the questions from the objects `start`, named by their markers or colours, with their answers."""
    rows = torch.arange(len(start))
    last = walks(scenes.places, start)[rows, jumps]
    anchors = torch.where(by_marker, scenes.markers[rows, start] + KINDS, scenes.colours[rows, start])
    targets = torch.where(by_marker, scenes.colours[rows, last], scenes.markers[rows, last] + KINDS)
    return Questions(anchors, jumps, targets)


def augmented(scenes: Scenes, random: torch.Generator) -> Scenes:
    """Returns the scenes scaled by 2^U(-1, 1) and rotated about the origin by any angle, as the paper's code does."""
    count = len(scenes.places)
    scale = 2 ** (2 * torch.rand(count, 1, 1, generator=random) - 1)
    angle = 2 * torch.pi * torch.rand(count, generator=random)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    return scenes._replace(places=scale * scenes.places @ turn.mT)
