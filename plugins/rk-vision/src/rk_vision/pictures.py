"""The base of all image data: splits, batches by indexing, user files, answers and sheets."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt
from jaxtyping import Int, UInt8
from torch import Tensor

from rk.builtin.metrics import Accuracy
from rk.fields import ClassificationBatch
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, rows, with_every_class
from rk.sheets import draw_sheet

Labelled = tuple[UInt8[Tensor, "n channels height width"], Int[Tensor, "n"]]
"""Images with their class numbers."""

SHOWN = 16
"""Most images on a sheet."""
LISTED = 5
"""Most names in a message."""


class PictureData(ABC):
    """Images with one class each. They are decoded once, stay bytes, and become values from 0 to 1 in a batch.

    What is validated, and what a limit leaves of the training images, does not depend on the seed. Every class has
    training images.

    Args:
        seed: Orders the training batches.
        batch_size: Images per batch.
        val_fraction: Share of the published training images that is validated instead.
        train_limit: Trains on so many images at most; null: on all.
        test_limit: Tests on so many images at most; null: on all.
    """

    splits = ("train", "val", "test")
    metrics: Mapping[str, Any] = {"accuracy": Accuracy}  # Any: functions and classes
    num_features: int
    num_classes: int
    input_shape: tuple[int, ...]
    _names: Sequence[str]
    """The classes."""

    def __init__(
        self,
        seed: int,
        batch_size: Annotated[int, Ge(1)] = 128,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.05,
        train_limit: Annotated[int, Ge(1)] | None = None,
        test_limit: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        self.seed = seed
        self.batch_size = batch_size
        self.val_fraction = val_fraction
        self.train_limit = train_limit
        self.test_limit = test_limit

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return tuple(self._names)

    @abstractmethod
    def _load(self) -> tuple[Labelled, Labelled]:
        """Returns the published images, for training and for tests."""

    def _load_val(self) -> Labelled | None:
        """Returns the images for validation, after `_load`; None: a share of those for training is taken."""
        return None

    @abstractmethod
    def _read_picture(self, path: Path) -> Tensor:
        """Returns a user's image as (channels, height, width), from 0 to 1."""

    def prepare(self) -> None:
        (images, targets), (test_images, test_targets) = self._load()
        val = self._load_val()
        n_val = 0 if val is not None else max(1, round(self.val_fraction * len(targets)))
        if n_val >= len(targets):
            raise ValueError(f"val_fraction {self.val_fraction} leaves no training images of {len(targets)}")
        stop = None if self.train_limit is None else n_val + self.train_limit
        order = rows(len(targets), len(targets), 0, seed=0, shuffle=True)
        order = with_every_class(order, targets, n_val, stop)
        train = order[n_val:stop]
        self._check_classes(targets, targets[train])
        test = slice(self.test_limit)
        self._splits: dict[str, Labelled] = {
            "train": (images[train], targets[train]),
            "val": val or (images[order[:n_val]], targets[order[:n_val]]),
            "test": (test_images[test], test_targets[test]),
        }

    def _check_classes(self, targets: Tensor, trained: Tensor) -> None:
        """Refuses a split that trains some class without any image; a limit that does so is only a warning."""
        missing = sorted(set(targets.tolist()) - set(trained.tolist()))
        if not missing:
            return
        names = [self._names[label] for label in missing]
        listed = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
        said = f"the class {listed} has" if len(names) == 1 else f"the classes {listed} have"
        if self.train_limit is None:
            raise ValueError(f"{said} no training images: {len(trained)} of {len(targets)} images are trained on")
        print(f"warning: data.train_limit {self.train_limit}: {said} no training images", file=sys.stderr)

    def batches(self, split: str) -> int:
        return batch_count(len(self._splits[split][1]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> ClassificationBatch:
        images, targets = self._splits[split]
        chosen = rows(len(targets), self.batch_size, i, seed=self.seed, shuffle=split == "train")
        return {"inputs": images[chosen].float().div_(255), "targets": targets[chosen]}

    def read(self, path: Path) -> Batch:
        """Reads an image (PNG, JPEG and others)."""
        return {"inputs": self._read_picture(path).unsqueeze(0)}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each image its class, and the probabilities of all."""
        return [
            {
                "class": self._names[max(range(len(row)), key=row.__getitem__)],
                "probability": round(max(row), 4),
                "probabilities": {name: round(p, 4) for name, p in zip(self._names, row, strict=True)},
            }
            for row in outputs["logits"].softmax(-1).tolist()
        ]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to 16 images with the answered class, in green or red where the class is known."""
        answers = self.answers(batch, outputs)[:SHOWN]
        known = batch.get("targets")
        right = [None if known is None else a["class"] == self._names[int(known[i])] for i, a in enumerate(answers)]
        captions = [f"{a['class']}  {a['probability']:.0%}" for a in answers]
        return [draw_sheet(batch["inputs"][: len(answers)], captions, right, out)]
