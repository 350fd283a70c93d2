"""The data `pretty-clevr` and `pretty-clevr-images`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import torch
from annotated_types import Ge, Le
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from rk.builtin.metrics import Accuracy
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, generator
from rk_rrn.graph import fully_connected
from rk_rrn.scene_files import read_scene
from rk_rrn.scene_images import draw_images
from rk_rrn.scenes import COLOURS, LABELS, MARKERS, MOST_JUMPS, Questions, Scenes, ask, augmented, draw_scenes, walks


class StateBatch(TypedDict):
    """A row for each object: its place, colour, marker, and the question; and the class of the answer."""

    inputs: Float[Tensor, "batch nodes features"]
    targets: Int[Tensor, "batch"]


class ImageBatch(TypedDict):
    """Images, the question about each, and the class of the answer."""

    images: Float[Tensor, "batch 3 height width"]
    question: Float[Tensor, "batch question_features"]
    targets: Int[Tensor, "batch"]


class SceneTask(ABC):
    """Scenes and questions; what a batch shows of them is the subclass's.

    Args:
        num_objects: Objects of a scene.
        max_jumps: Most jumps of a question; 0 to so many are equally frequent.
        augment: Scales and rotates the places of training scenes at random, as the paper does.
        batch_size: Questions of a batch, each about a scene of its own.
        val_examples: Questions in `val`.
        test_examples: Questions in each test split; `test-3` has those with three jumps.
        seed: Every scene is a function of it.
    """

    level: Literal["graph"] = "graph"
    num_classes: Literal[16] = 16
    metrics = {"accuracy": Accuracy}
    labels = LABELS
    bucket_name = "jumps"

    def __init__(
        self,
        *,
        seed: int,
        num_objects: Annotated[int, Ge(2), Le(8)] = 8,
        max_jumps: Annotated[int, Ge(0), Le(7)] = 7,
        augment: bool = False,
        batch_size: Annotated[int, Ge(1)] = 128,
        val_examples: Annotated[int, Ge(1)] = 1024,
        test_examples: Annotated[int, Ge(1)] = 1000,
    ) -> None:
        if max_jumps >= num_objects:
            raise ValueError(f"max_jumps must be below num_objects, {num_objects}, got {max_jumps}")
        self._seed = seed
        self._objects = num_objects
        self._max_jumps = max_jumps
        self._augment = augment
        self._batch_size = batch_size
        self._tests = {f"test-{jumps}": jumps for jumps in range(max_jumps + 1)}
        self._examples = {"val": val_examples} | dict.fromkeys(self._tests, test_examples)

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train", "val", *self._tests)

    def batches(self, split: str) -> int | None:
        return None if split == "train" else batch_count(self._examples[split], self._batch_size)

    def draw(self, split: str, i: int) -> tuple[Scenes, Questions]:
        """Returns the scenes and questions of batch `i`: a function of the seed and these arguments."""
        rows = self._batch_size
        if split != "train":
            i %= batch_count(self._examples[split], rows)
            rows = min(rows, self._examples[split] - i * rows)
        random = generator(self._seed, split, i)
        scenes = draw_scenes(rows, self._objects, random)
        if split in self._tests:
            jumps = torch.full((rows,), self._tests[split])
        else:
            jumps = torch.randint(self._max_jumps + 1, (rows,), generator=random)
        asked = ask(scenes, jumps, random)
        if self._augment and split == "train":
            scenes = augmented(scenes, random)
        return scenes, asked

    def read(self, path: Path) -> Batch:
        """Reads a scene and questions about it from JSON. Raises `rk.UserError` for any other file."""
        file = read_scene(path, self._objects)
        return {**self.shown(file.scenes, file.questions), "scenes_meta": file}

    @abstractmethod
    def shown(self, scenes: Scenes, asked: Questions) -> Batch:
        """Returns the fields that a model reads of scenes and questions."""

    @abstractmethod
    def buckets(self, batch: Batch) -> Int[Tensor, "batch"]:
        """Returns the number of jumps of each question: the difficulty, for `step-accuracy`."""

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns the answer to each question, and of a user's scene the right one with the way to it."""
        chosen = outputs["logits"].softmax(-1).max(-1)
        found = [
            {"answer": LABELS[label], "confidence": round(sure, 4)}
            for label, sure in zip(chosen.indices.tolist(), chosen.values.tolist(), strict=True)
        ]
        file = batch.get("scenes_meta")
        if file is not None:
            for answer, way, target in zip(found, file.ways, file.questions.targets.tolist(), strict=True):
                answer |= {"right": LABELS[target], "way": way}
        return found

    @abstractmethod
    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws what a model has read, the questions and its answers."""


class PrettyCLEVR(SceneTask):
    """Pretty-CLEVR (arXiv:1711.08028): from one object, jump to the nearest one not visited yet, so and so many times.

    A scene has eight objects at random places, each with a colour and a marker of its own. A question names the first
    object by one of the two and the number of jumps; the other of the two, of the last object, is the answer. Here the
    objects are given as rows: place (2 numbers), colour (8, one-hot), marker (8), and the question (first object 16,
    jumps 8), the same in each row. Scenes are generated and never repeat.

    `rk predict` takes JSON: ``{"objects": [{"x": 0.1, "y": 0.7, "color": "red", "marker": "o"}, ...], "questions":
    [{"from": "red", "jumps": 2}]}``.

    Examples:
        data: {name: pretty-clevr, max_jumps: 7}
    """

    node_features: Literal[42] = 42
    attribute_sizes: tuple[int, ...] = ()

    def __init__(self, **scenes: Any) -> None:
        super().__init__(**scenes)

    @property
    def neighbours(self) -> list[list[int]]:
        """All other objects of each."""
        return fully_connected(self._objects)

    @property
    def num_features(self) -> int:
        """Numbers of a scene, for models that read it as one vector."""
        return self._objects * self.node_features

    def batch(self, split: str, i: int, stage: int = 0) -> StateBatch:
        scenes, asked = self.draw(split, i)
        return {"inputs": state(scenes, asked), "targets": asked.targets}

    def shown(self, scenes: Scenes, asked: Questions) -> Batch:
        return {"inputs": state(scenes, asked)}

    def buckets(self, batch: Batch) -> Int[Tensor, "batch"]:
        """Returns the number of jumps of each question: the difficulty, for `step-accuracy`."""
        return batch["inputs"][:, 0, -MOST_JUMPS - 1 :].argmax(-1)

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws scenes with the way from the first object to the last, and the answers."""
        from rk_rrn.scene_drawing import draw  # matplotlib: loaded only to draw

        scenes, asked = self.asked_in(batch)
        return [draw(scenes, asked, outputs["logits"].argmax(-1).cpu(), out)]

    def asked_in(self, batch: Batch) -> tuple[Scenes, Questions]:
        """Returns the scenes and the questions that a batch was made of."""
        places, colours, markers, anchors, jumps = batch["inputs"].cpu().split([2, 8, 8, 16, 8], -1)
        asked = [x[:, 0].argmax(-1) for x in (anchors, jumps)]
        scenes = Scenes(places, colours.argmax(-1), markers.argmax(-1))
        return scenes, Questions(asked[0], asked[1], answers_of(scenes, *asked))


class PrettyCLEVRImages(SceneTask):
    """Pretty-CLEVR as images of 128 pixels a side, and the question as numbers: first object (16) and jumps (8).

    The scenes are those of `pretty-clevr` with the same seed.

    Args:
        image_size: Pixels a side.

    Examples:
        data: {name: pretty-clevr-images, max_jumps: 7, augment: false}
    """

    image_channels: Literal[3] = 3
    question_size: Literal[24] = 24

    def __init__(self, *, image_size: Annotated[int, Ge(32)] = 128, **scenes: Any) -> None:
        super().__init__(**scenes)
        if self._augment:
            raise ValueError("augment moves objects out of the image: leave it false")
        self._size = image_size

    def batch(self, split: str, i: int, stage: int = 0) -> ImageBatch:
        scenes, asked = self.draw(split, i)
        return {
            "images": draw_images(scenes, self._size), "question": question(asked), "targets": asked.targets
        }  # fmt: skip

    def shown(self, scenes: Scenes, asked: Questions) -> Batch:
        return {"images": draw_images(scenes, self._size), "question": question(asked)}

    def buckets(self, batch: Batch) -> Int[Tensor, "batch"]:
        """Returns the number of jumps of each question: the difficulty, for `step-accuracy`."""
        return batch["question"][:, len(LABELS) :].argmax(-1)

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws images, their questions and the answers."""
        from rk_rrn.scene_drawing import draw_image_answers

        targets = batch.get("targets")
        return [draw_image_answers(batch["images"], batch["question"], targets, outputs["logits"].argmax(-1), out)]


def question(asked: Questions) -> Float[Tensor, "b 24"]:
    """Returns questions as numbers: the first object and the number of jumps, one-hot."""
    return torch.cat([one_hot(asked.anchors, len(LABELS)), one_hot(asked.jumps, MOST_JUMPS + 1)], -1).float()


def state(scenes: Scenes, asked: Questions) -> Float[Tensor, "b n 42"]:
    """Returns the rows of objects: place, colour, marker, question."""
    colours, markers = one_hot(scenes.colours, len(COLOURS)), one_hot(scenes.markers, len(MARKERS))
    questions = question(asked).unsqueeze(1).expand(-1, scenes.places.shape[1], -1)
    return torch.cat([scenes.places, colours.float(), markers.float(), questions], -1)


def answers_of(scenes: Scenes, anchors: Int[Tensor, "b"], jumps: Int[Tensor, "b"]) -> Int[Tensor, "b"]:
    """Returns the answers to questions."""
    names = torch.cat([scenes.colours, scenes.markers + len(COLOURS)], 1)
    start = (names == anchors.unsqueeze(1)).int().argmax(1) % scenes.places.shape[1]
    rows = torch.arange(len(anchors))
    last = walks(scenes.places, start)[rows, jumps]
    by_marker = anchors >= len(COLOURS)
    return torch.where(by_marker, scenes.colours[rows, last], scenes.markers[rows, last] + len(COLOURS))
