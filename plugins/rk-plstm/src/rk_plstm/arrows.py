"""Data `arrow-pointing`: does the arrow point at the disc?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from PIL import Image, ImageDraw

from rk.builtin.metrics import Accuracy
from rk.fields import ClassificationBatch
from rk.images import image_steps, read_image
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator
from rk.sheets import draw_sheet

Range = tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]]
"""From, to."""

SHOWN = 16
"""Most images on a sheet."""


@dataclass(frozen=True)
class Scene:
    """An arrow and a disc, in pixels.

    Attributes:
        points: Whether the ray of the arrow meets the disc.
        length: Of the arrow.
        width: Of its lines.
        arrow: Middle of the arrow, (x, y).
        angle: Where it points, in radians.
        disc: Middle of the disc.
        radius: Of the disc.
    """

    points: bool
    length: int
    width: int
    arrow: tuple[float, float]
    angle: float
    disc: tuple[float, float]
    radius: float


class ArrowPointing:
    """Arrow-pointing extrapolation (arXiv:2506.11997): an arrow and a disc at random places, on an empty ground.

    In half of the images the arrow points at the disc: its ray meets a disc of 1 / 1.2 of the radius; in the others it
    misses one of 1.2 times the radius. In larger images, arrow and disc have the same sizes in pixels, and are further
    apart. Every image is a function of the seed, the split and its number.

    Args:
        seed: Of the images.
        image_size: Height and width in ``train``, ``val`` and ``test``.
        test_sizes: A further split ``test-N`` for each of these sizes; null for none.
        batch_size: Images per batch; fewer of larger images, so that a batch keeps its pixels.
        train_images: Different training images; null: they never repeat.
        val_images: Images in ``val``.
        test_images: Images per test split.
        length: Least and most length of an arrow.
        width: Least and most width of its lines; the latter itself is never drawn.
        radius: Least and most radius of a disc.
        padding: Pixels at the border in which no middle is.
        ground: `white` with black figures, as published; or `black` with white ones, so that what is empty is 0. Images
            to predict have the same.

    Raises:
        ValueError: When a range is not ascending, or the images are too small for arrow and disc.

    Examples:
        data: {name: arrow-pointing, image_size: 96, test_sizes: [192], length: [8, 15], radius: [8, 15], padding: 15}
    """

    splits: tuple[str, ...]
    metrics = {"accuracy": Accuracy}
    num_classes: int = 2
    labels: tuple[str, ...] = ("misses", "points")

    def __init__(
        self,
        seed: int,
        image_size: Annotated[int, Ge(1)] = 192,
        test_sizes: list[Annotated[int, Ge(1)]] | None = None,
        batch_size: Annotated[int, Ge(1)] = 64,
        train_images: Annotated[int, Ge(1)] | None = None,
        val_images: Annotated[int, Ge(1)] = 512,
        test_images: Annotated[int, Ge(1)] = 1024,
        length: Range = (15.0, 30.0),
        width: Range = (2.0, 4.0),
        radius: Range = (15.0, 30.0),
        padding: Annotated[int, Ge(0)] = 30,
        ground: Literal["white", "black"] = "white",
    ) -> None:
        for name, (low, high) in {"length": length, "width": width, "radius": radius}.items():
            if low > high:
                raise ValueError(f"{name} must be from less to more, got {low:g} and {high:g}")
        least = 2 * padding + math.ceil(4 * radius[1])
        self.sizes = {"test": image_size} | {f"test-{n}": n for n in test_sizes or ()}
        if (smallest := min(self.sizes.values())) < least:
            raise ValueError(f"images must be >= {least}, twice the padding and four radii, got {smallest}")
        self.seed = seed
        self.image_size = image_size
        self.batch_size = batch_size
        self.train_images = train_images
        self._counts = {"val": val_images} | dict.fromkeys(self.sizes, test_images)
        self.splits = ("train", "val", *self.sizes)
        self.length, self.width, self.radius = length, width, radius
        self.padding = padding
        self.ground = ground

    @property
    def input_shape(self) -> tuple[int, ...]:
        """One channel, height and width."""
        return (1, self.image_size, self.image_size)

    def prepare(self) -> None:
        """Does nothing: images are generated."""

    def _rows(self, split: str) -> int:
        """Returns the images of a batch."""
        size = self.sizes.get(split, self.image_size)
        return max(1, round(self.batch_size * min(1.0, (self.image_size / size) ** 2)))

    def batches(self, split: str) -> int | None:
        count = self.train_images if split == "train" else self._counts[split]
        return None if count is None else batch_count(count, self._rows(split))

    def batch(self, split: str, i: int, stage: int = 0) -> ClassificationBatch:
        rows, count = self._rows(split), self.train_images if split == "train" else self._counts[split]
        first = int(torch.randint(2**62, (), generator=generator(self.seed, split)))
        numbers = range(i * rows, (i + 1) * rows)
        if count is not None:
            i %= batch_count(count, rows)
            numbers = range(i * rows, min((i + 1) * rows, count))
        size = self.sizes.get(split, self.image_size)
        scenes = [self.scene(np.random.default_rng(first + n), size) for n in numbers]
        images = torch.from_numpy(np.stack([draw(scene, size) for scene in scenes])).unsqueeze(1).float().div_(255)
        return {
            "inputs": 1 - images if self.ground == "black" else images,
            "targets": torch.tensor([int(s.points) for s in scenes]),
        }

    def scene(self, random: np.random.Generator, size: int) -> Scene:
        """Draws an arrow and a disc for an image of `size` pixels, in the order of the published generator."""
        points = bool(random.uniform() < 0.5)
        length, width = int(random.uniform(*self.length)), max(1, int(random.uniform(*self.width)))
        span = size - 2 * self.padding
        ax, ay = span * random.uniform(), span * random.uniform()
        radius = random.uniform(*self.radius)
        off = 2 * radius

        def away(start: float) -> float:  # at least `off` from it, the border being left towards the other one
            place = start + off + (span - 2 * off) * random.uniform()
            return place - span if place > span else place

        cx, cy = away(ax), away(ay)
        dx, dy = cx - ax, cy - ay
        seen = radius / 1.2 if points else 1.2 * radius
        square = dx * dx + dy * dy
        half = math.acos(math.sqrt(abs((square - seen * seen) / square)))  # of the angle that the disc covers
        towards = math.atan2(dy, dx)
        if points:
            angle = towards - half + 2 * half * random.uniform()
        else:
            angle = towards + half + (2 * math.pi - 2 * half) * random.uniform()
        pad = self.padding
        return Scene(points, length, width, (ax + pad, ay + pad), angle, (cx + pad, cy + pad), radius)

    def read(self, path: Path) -> Batch:
        """Reads an image (PNG, JPEG and others) with the same `ground`, scaled to the size of the training images."""
        return {"inputs": read_image(path, 1, (self.image_size, self.image_size)).unsqueeze(0)}

    def preprocessing(self) -> dict[str, Any]:
        """Returns how an image becomes ``inputs``."""
        return image_steps(size=(self.image_size, self.image_size), mode="L", layout="CHW")

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each image whether its arrow points at the disc, and how probable that is."""
        shares = outputs["logits"].softmax(-1)[:, 1].tolist()
        return [{"class": self.labels[p > 0.5], "probability": round(max(p, 1 - p), 4)} for p in shares]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to 16 images with their answers, in green or red where the truth is known."""
        answers = self.answers(batch, outputs)[:SHOWN]
        known = batch.get("targets")
        right = [None if known is None else a["class"] == self.labels[int(known[i])] for i, a in enumerate(answers)]
        captions = [f"{a['class']}  {a['probability']:.0%}" for a in answers]
        images = batch["inputs"][: len(answers)].expand(-1, 3, -1, -1)  # light, not ink
        return [draw_sheet(images, captions, right, out)]


def draw(scene: Scene, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Returns the image, (size, size) bytes: black on white."""
    image = Image.new("L", (size, size), 255)
    pen = ImageDraw.Draw(image)
    (x, y), half = scene.arrow, scene.length // 2
    dx, dy = math.cos(scene.angle), math.sin(scene.angle)
    tip = (x + half * dx, y + half * dy)
    pen.line([(x - half * dx, y - half * dy), tip], fill=0, width=scene.width)
    for turn in (-0.5, 0.5):
        back = scene.length // 2.5
        behind = (tip[0] - back * math.cos(scene.angle + turn), tip[1] - back * math.sin(scene.angle + turn))
        pen.line([tip, behind], fill=0, width=scene.width)
    (cx, cy), r = scene.disc, scene.radius
    pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=0)
    return np.asarray(image)
