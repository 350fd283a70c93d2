"""Handwritten digits: 1797 real pictures of 8 x 8 pixels that scikit-learn ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge

from rk.builtin.metrics import Accuracy
from rk.builtin.pictures import BOX, draw_sheet, ink, levels, open_picture
from rk.errors import UserError
from rk.fields import ClassificationBatch
from rk.protocols import Batch, Outputs
from rk.sampling import batch_count, rows


class Digits:
    """Optical recognition of handwritten digits (UCI; Alpaydin and Kaynak, 1998): 1797 pictures, 8 x 8, ten classes.

    1197 pictures are trained on, 300 validated and 300 tested; which ones does not depend on the seed.

    Args:
        seed: Orders the training batches.
        batch_size: Pictures per batch.
    """

    splits = ("train", "val", "test")
    metrics = {"accuracy": Accuracy}
    num_features: int = 64
    input_shape: tuple[int, ...] = (8, 8)
    num_classes: int = 10

    def __init__(self, seed: int, batch_size: Annotated[int, Ge(1)] = 64) -> None:
        self.seed = seed
        self.batch_size = batch_size

    def prepare(self) -> None:
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise UserError("the data digits needs scikit-learn", 'pip install "recursion-kit[digits]"') from None
        pictures, targets = load_digits(return_X_y=True)
        order = rows(len(targets), len(targets), 0, seed=0, shuffle=True)
        inputs = torch.tensor(pictures, dtype=torch.float32)[order].view(-1, 8, 8) / 16
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
        """Reads a picture (PNG, JPEG; a dark digit on light ground or the reverse) or a CSV of 64 numbers a line."""
        if path.suffix.lower() == ".csv":
            return {"inputs": _read_csv(path)}
        return {"inputs": _read_picture(path)}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        shares = outputs["logits"].softmax(-1)
        best = shares.argmax(-1)
        return [
            {"class": int(c), "probability": round(float(p[c]), 4), "probabilities": [round(float(x), 4) for x in p]}
            for c, p in zip(best, shares, strict=True)
        ]

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to 16 pictures with the answered class, in green or red where the class is known."""
        if out.suffix == ".svg":
            raise UserError("digits are drawn as .png or .pdf", f"write {out.with_suffix('.png')}")
        answers = self.answers(batch, outputs)[:16]
        known = batch.get("targets")
        right = [None if known is None else a["class"] == int(known[i]) for i, a in enumerate(answers)]
        captions = [f"{a['class']}  {a['probability']:.0%}" for a in answers]
        return [draw_sheet(batch["inputs"][: len(answers)], captions, right, out)]


def _read_csv(path: Path) -> torch.Tensor:
    try:
        lines = [[float(x) for x in line.split(",")] for line in path.read_text().splitlines() if line.strip()]
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}", "a line has 64 numbers from 0 to 16, separated by commas") from None
    wrong = next((i for i, line in enumerate(lines, 1) if len(line) != 64), None)
    if not lines or wrong:
        found = f"line {wrong} has {len(lines[wrong - 1])} numbers" if wrong else "the file is empty"
        raise UserError(f"{path}: {found}", "a line has 64 numbers from 0 to 16, separated by commas")
    values = torch.tensor(lines)
    if not values.isfinite().all():
        raise UserError(f"{path}: holds a number that is not finite")
    return values.view(-1, 8, 8) / 16


def _read_picture(path: Path) -> torch.Tensor:
    picture = open_picture(path, "give a PNG or JPEG picture of one digit, or a CSV").convert("L")
    return ink(levels(picture.resize((8, 8), resample=BOX))).unsqueeze(0)
