"""A user's scene and questions, from JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from rk import UserError
from rk.reading import describe, number, parse_json, read_text
from rk_rrn.scenes import COLOURS, KINDS, LABELS, MARKERS, MOST_JUMPS, Questions, Scenes, questions, walks

ACCEPTED = (
    '{"objects": [{"x": 0.1, "y": 0.7, "color": "red", "marker": "o"}, ...], '
    '"questions": [{"from": "red", "jumps": 2}]}'
)


class SceneFile(NamedTuple):
    """The scene, once for each question, the questions, and the way of each as names of objects."""

    scenes: Scenes
    questions: Questions
    ways: list[list[str]]


def read_scene(path: Path, num_objects: int) -> SceneFile:
    """Returns a file's scene and questions.

    Args:
        path: The file.
        num_objects: Objects that a scene must have.

    Raises:
        rk.UserError: With the place in the file, when it holds anything else.
    """
    value = parse_json(read_text(path, ACCEPTED), path, accepted=ACCEPTED)
    objects, asked = _list(value, "objects", path), _list(value, "questions", path)
    if len(objects) != num_objects:
        raise UserError(f"{path}: expected {num_objects} objects, got {len(objects)}", ACCEPTED)
    places, colours, markers = [], [], []
    for i, item in enumerate(objects, 1):
        place = f"{path}: object {i}"
        item = _object(item, place)
        places.append([number(item.get(name), f"{place}: {name}") for name in ("x", "y")])
        colours.append(_choice(item, "color", COLOURS, place))
        markers.append(_choice(item, "marker", MARKERS, place))
    for name, found in (("color", colours), ("marker", markers)):
        if len(set(found)) < len(found):
            raise UserError(f"{path}: expected a {name} of its own for each object, got one twice", ACCEPTED)
    start, by_marker, jumps = [], [], []
    for i, item in enumerate(asked, 1):
        place = f"{path}: question {i}"
        item = _object(item, place)
        anchor = _choice(item, "from", LABELS, place)
        names = [*colours, *(marker + KINDS for marker in markers)]
        if anchor not in names:
            raise UserError(f"{place}: no object is {LABELS[anchor]!r}", ACCEPTED)
        start.append(names.index(anchor) % num_objects)
        by_marker.append(anchor >= KINDS)
        steps = item.get("jumps")
        if not isinstance(steps, int) or isinstance(steps, bool) or not 0 <= steps <= min(MOST_JUMPS, num_objects - 1):
            raise UserError(f"{place}: jumps must be from 0 to {min(MOST_JUMPS, num_objects - 1)}, got {steps!r}")
        jumps.append(steps)
    count = len(asked)
    scenes = Scenes(*(torch.tensor([rows] * count) for rows in (places, colours, markers)))
    scenes = scenes._replace(places=scenes.places.float())
    first = torch.tensor(start)
    ways = [
        [f"{COLOURS[colours[k]]} {MARKERS[markers[k]]}" for k in walk[: n + 1]]
        for walk, n in zip(walks(scenes.places, first).tolist(), jumps, strict=True)
    ]
    return SceneFile(scenes, questions(scenes, first, torch.tensor(by_marker), torch.tensor(jumps)), ways)


def _list(value: Any, name: str, path: Path) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, list) or not found:
        raise UserError(f"{path}: expected a list {name!r}, got {describe(found)}", ACCEPTED)
    return found


def _object(item: Any, place: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise UserError(f"{place}: expected an object, got {describe(item)}", ACCEPTED)
    return item


def _choice(item: dict[str, Any], name: str, choices: tuple[str, ...], place: str) -> int:
    value = item.get(name)
    if value not in choices:
        raise UserError(f"{place}: {name} must be one of {', '.join(choices)}; got {value!r}", ACCEPTED)
    return choices.index(value)
