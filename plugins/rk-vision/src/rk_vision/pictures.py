"""What all picture data have in common: splits, batches by indexing, a user's own files, answers and sheets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt
from jaxtyping import Int, UInt8
from torch import Tensor

from rk import UserError
from rk.builtin.metrics import Accuracy
from rk.builtin.pictures import draw_sheet
from rk.fields import ClassificationBatch
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, rows

Labelled = tuple[UInt8[Tensor, "n channels height width"], Int[Tensor, "n"]]
"""Pictures with their class numbers."""

SHOWN = 16
"""Most pictures on a sheet."""


class PictureData(ABC):
    """Pictures with one class each. They are decoded once, stay bytes, and become numbers from 0 to 1 in a batch.

    What is validated, and what a limit leaves of the training pictures, does not depend on the seed.

    Args:
        seed: Orders the training batches.
        batch_size: Pictures per batch.
        val_fraction: Share of the published training pictures that is validated instead.
        train_limit: Trains on so many pictures at most; null: on all.
        test_limit: Tests on so many pictures at most; null: on all.
    """

    splits = ("train", "val", "test")
    metrics = {"accuracy": Accuracy}
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

    @abstractmethod
    def _load(self) -> tuple[Labelled, Labelled]:
        """Returns the published pictures, for training and for tests."""

    @abstractmethod
    def _read_picture(self, path: Path) -> Tensor:
        """Returns a user's picture as (channels, height, width), from 0 to 1."""

    def prepare(self) -> None:
        (pictures, targets), (test_pictures, test_targets) = self._load()
        order = rows(len(targets), len(targets), 0, seed=0, shuffle=True)
        n_val = max(1, round(self.val_fraction * len(targets)))
        val, train = order[:n_val], order[n_val:][: self.train_limit]
        if not len(train):
            raise ValueError(f"val_fraction {self.val_fraction} leaves none of {len(targets)} pictures to train on")
        test = slice(self.test_limit)
        self._splits: dict[str, Labelled] = {
            "train": (pictures[train], targets[train]),
            "val": (pictures[val], targets[val]),
            "test": (test_pictures[test], test_targets[test]),
        }

    def batches(self, split: str) -> int:
        return batch_count(len(self._splits[split][1]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> ClassificationBatch:
        pictures, targets = self._splits[split]
        chosen = rows(len(targets), self.batch_size, i, seed=self.seed, shuffle=split == "train")
        return {"inputs": pictures[chosen].float().div_(255), "targets": targets[chosen]}

    def read(self, path: Path) -> Batch:
        """Reads a picture (PNG, JPEG and others)."""
        return {"inputs": self._read_picture(path).unsqueeze(0)}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each picture its class, and the probabilities of all."""
        return [
            {
                "class": self._names[max(range(len(row)), key=row.__getitem__)],
                "probability": round(max(row), 4),
                "probabilities": {name: round(p, 4) for name, p in zip(self._names, row, strict=True)},
            }
            for row in outputs["logits"].softmax(-1).tolist()
        ]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to 16 pictures with the answered class, in green or red where the class is known."""
        if out.suffix == ".svg":
            raise UserError("pictures are drawn as .png or .pdf", f"write {out.with_suffix('.png')}")
        answers = self.answers(batch, outputs)[:SHOWN]
        known = batch.get("targets")
        right = [None if known is None else a["class"] == self._names[int(known[i])] for i, a in enumerate(answers)]
        captions = [f"{a['class']}  {a['probability']:.0%}" for a in answers]
        return [draw_sheet(batch["inputs"][: len(answers)], captions, right, out)]
