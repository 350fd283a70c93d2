"""Figures of Pretty-CLEVR: scenes, the way that a question asks for, and the answer."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from rk.charts import chart, save
from rk_rrn.scene_images import RGB
from rk_rrn.scenes import COLOURS, KINDS, LABELS, MARKERS, Questions, Scenes, walks

MOST = 8
GOOD, BAD, INK = "#0b7a75", "#c2410c", "#1f2933"


def draw(scenes: Scenes, asked: Questions, answered: Int[Tensor, "b"], out: Path) -> Path:
    """Draws up to eight scenes, four in a row, with arrows along the way from the first object to the last.

    Args:
        scenes: The scenes.
        asked: A question about each.
        answered: (b,) class numbers.
        out: The image; a name without the ending of an image gets .png.
    """
    count = min(len(answered), MOST)
    with _panels(count) as (figure, *axes):
        for row, axis in enumerate(axes[:count]):
            places = scenes.places[row].numpy()
            for (x, y), colour, marker in zip(places, scenes.colours[row], scenes.markers[row], strict=True):
                axis.plot(x, y, MARKERS[marker], color=RGB[colour], markersize=8, zorder=3)
            names = [*scenes.colours[row].tolist(), *(scenes.markers[row] + KINDS).tolist()]
            start = names.index(int(asked.anchors[row])) % len(places)
            walk = walks(scenes.places[row : row + 1], asked.anchors.new_tensor([start]))[0].tolist()
            way = walk[: int(asked.jumps[row]) + 1]
            for before, after in itertools.pairwise(way):
                ends = {"xy": places[after], "xytext": places[before]}
                axis.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": INK, "shrinkA": 5, "shrinkB": 5})
            axis.set(aspect="equal", xticks=[], yticks=[])
            axis.margins(0.1)
            _caption(axis, asked.anchors[row], asked.jumps[row], answered[row], asked.targets[row])
        return save(figure, out)


def draw_image_answers(
    images: Float[Tensor, "b 3 height width"],
    question: Float[Tensor, "b 24"],
    targets: Int[Tensor, "b"] | None,
    answered: Int[Tensor, "b"],
    out: Path,
) -> Path:
    """Draws up to eight images, with questions and answers."""
    count = min(len(images), MOST)
    with _panels(count) as (figure, *axes):
        for row, axis in enumerate(axes[:count]):
            axis.imshow(images[row].cpu().permute(1, 2, 0).numpy())
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            anchor, jumps = question[row, : len(LABELS)].argmax(), question[row, len(LABELS) :].argmax()
            _caption(axis, anchor, jumps, answered[row], None if targets is None else targets[row])
        return save(figure, out)


def _panels(count: int) -> Any:
    rows = -(-count // 4)
    return chart(2.1 * min(count, 4), 2.3 * rows, rows, min(count, 4))


def _caption(axis: Any, anchor: Tensor, jumps: Tensor, answered: Tensor, target: Tensor | None) -> None:
    right = target is None or int(answered) == int(target)
    text = f"{_name(anchor)}, {int(jumps)} jumps: {_name(answered)}"
    if not right:
        text += f" ({_name(target)})"
    axis.set_title(text, fontsize=8, color=INK if target is None else GOOD if right else BAD)


def _name(label: Tensor | None) -> str:
    assert label is not None
    return LABELS[int(label)] if int(label) < len(COLOURS) else f"marker {LABELS[int(label)]}"
