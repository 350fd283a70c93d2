"""Handwritten digits: 1797 real images of 8 x 8 pixels that scikit-learn ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge

from rk.builtin.metrics import Accuracy
from rk.errors import UserError
from rk.fields import ClassificationBatch
from rk.images import image_steps, ink, read_image
from rk.protocols import Batch, Outputs
from rk.reading import column_place, number, read_rows
from rk.sampling import batch_count, rows
from rk.sheets import draw_sheet

CSV_HINT = "a line has 64 numbers from 0 to 16, separated by commas"


class Digits:
    """Optical recognition of handwritten digits (UCI; Alpaydin and Kaynak, 1998): 1797 images, 8 x 8, ten classes.

    1197 images are trained on, 300 validated and 300 tested; which ones does not depend on the seed.

    Args:
        seed: Orders the training batches.
        batch_size: Images per batch.

    Examples:
        data: {name: digits, batch_size: 32}
    """

    splits = ("train", "val", "test")
    metrics = {"accuracy": Accuracy}
    num_features: int = 64
    input_shape: tuple[int, ...] = (8, 8)
    num_classes: int = 10
    labels: tuple[str, ...] = tuple("0123456789")

    def __init__(self, seed: int, batch_size: Annotated[int, Ge(1)] = 64) -> None:
        self.seed = seed
        self.batch_size = batch_size

    def prepare(self) -> None:
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise UserError("the data digits needs scikit-learn", 'pip install "recursion-kit[digits]"') from None
        images, targets = load_digits(return_X_y=True)
        order = rows(len(targets), len(targets), 0, seed=0, shuffle=True)
        inputs = torch.tensor(images, dtype=torch.float32)[order].view(-1, 8, 8) / 16
        labels = torch.tensor(targets, dtype=torch.int64)[order]
        self._rows = {
            split: (inputs[a:b], labels[a:b])
            for split, a, b in (("train", 0, 1197), ("val", 1197, 1497), ("test", 1497, 1797))
        }

    def batches(self, split: str) -> int:
        return batch_count(len(self._rows[split][1]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> ClassificationBatch:
        inputs, targets = self._rows[split]
        chosen = rows(len(targets), self.batch_size, i, seed=self.seed, shuffle=split == "train")
        return {"inputs": inputs[chosen], "targets": targets[chosen]}

    def read(self, path: Path) -> Batch:
        """Reads an image (PNG, JPEG; a dark digit on light ground or the reverse) or a CSV of 64 numbers a line."""
        if path.name.lower().endswith((".csv", ".csv.gz")):
            return {"inputs": _read_csv(path)}
        return {"inputs": _read_digit(path)}

    def preprocessing(self) -> dict[str, Any]:
        """Returns how an image becomes ``inputs``."""
        return image_steps(size=(8, 8), mode="L", layout="HW", ground_is_zero=True)

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        shares = outputs["logits"].softmax(-1)
        best = shares.argmax(-1)
        return [
            {"class": int(c), "probability": round(float(p[c]), 4), "probabilities": [round(float(x), 4) for x in p]}
            for c, p in zip(best, shares, strict=True)
        ]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to 16 images with the answered class, in green or red where the class is known."""
        answers = self.answers(batch, outputs)[:16]
        known = batch.get("targets")
        right = [None if known is None else a["class"] == int(known[i]) for i, a in enumerate(answers)]
        captions = [f"{a['class']}  {a['probability']:.0%}" for a in answers]
        return [draw_sheet(batch["inputs"][: len(answers)], captions, right, out)]


def _read_csv(path: Path) -> torch.Tensor:
    """Returns the digits in a CSV file, (lines, 8, 8), from 0 to 1. Raises `UserError` with the line that is wrong."""
    digits: list[list[float]] = []
    for line, row in read_rows(path, CSV_HINT):
        if len(row) != 64:
            raise UserError(f"{path}:{line}: expected 64 numbers, got {len(row)}", CSV_HINT)
        digits.append([_level(cell, column_place(path, line, i)) for i, cell in enumerate(row)])
    if not digits:
        raise UserError(f"{path}: the file is empty", CSV_HINT)
    return torch.tensor(digits).view(-1, 8, 8) / 16


def _level(cell: str, place: str) -> float:
    value = number(cell, place)
    if not 0 <= value <= 16:
        raise UserError(f"{place}: numbers must be from 0 to 16, got {value:g}", CSV_HINT)
    return value


def _read_digit(path: Path) -> torch.Tensor:
    """Returns one digit as (1, 8, 8), 0 for the ground to 1 for ink."""
    image = read_image(path, 1, (8, 8), hint="give an image of one digit (PNG, JPEG), or a CSV")
    return ink(image[0]).unsqueeze(0)
