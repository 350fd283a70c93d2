"""Images under distribution shift: unchanged, noisy, rotated, and of classes that were left out."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional

from rk.builtin.metrics import Accuracy
from rk.fields import ClassificationBatch
from rk.protocols import Data
from rk.sampling import batch_count, generator, rows, with_every_class
from rk.wrappers import DataWrapper
from rk_nngp_mixture.class_metrics import ClassNLL, Confidence, ExpectedCalibrationError

FACT = "num_classes"
"""What the data inside must say: how many classes there are."""


class Shifted(DataWrapper):
    """Any image data, with few training rows and with test splits that differ from them.

    `test` has the classes that were trained, as they are; `test-noise` the same with Gaussian noise, `test-turned` the
    same turned by an angle, `test-unseen` the classes that were left out: of their NLL, no example has shown the class.

    Args:
        data: The images: inputs of (batch, height, width) or (batch, channels, height, width), targets by number.
        seed: Chooses the training rows and orders their batches.
        train_limit: Training rows at most; null: all of the classes that are trained. Each of these has a row,
            where the limit allows it.
        unseen: Classes that are left out of everything but `test-unseen`.
        noise: Standard deviation of the noise; images are from 0 to 1.
        angle: By how many degrees images are rotated.
        batch_size: Rows per batch.
        test_limit: Rows of each test split at most; null: all.

    Examples:
        data: {name: shifted, data: digits, train_limit: 200, unseen: [2, 5, 8]}
    """

    splits: tuple[str, ...] = ("train", "val", "test", "test-noise", "test-turned", "test-unseen")
    metrics = {
        "accuracy": Accuracy,
        "nll": ClassNLL,
        "ece": ExpectedCalibrationError,
        "confidence": Confidence,
    }
    num_features: int
    num_classes: int
    num_train: int
    input_shape: tuple[int, ...]

    def __init__(
        self,
        data: Data,
        seed: int,
        train_limit: Annotated[int, Ge(1)] | None = None,
        unseen: tuple[Annotated[int, Ge(0)], ...] = (),
        noise: Annotated[float, Ge(0)] = 0.3,
        angle: float = 45.0,
        batch_size: Annotated[int, Ge(1)] = 100,
        test_limit: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__(data)
        self.seed = seed
        self.train_limit = train_limit
        self.unseen = unseen
        self.noise = noise
        self.angle = angle
        self.batch_size = batch_size
        self.test_limit = test_limit
        if not unseen:
            self.splits = tuple(split for split in self.splits if split != "test-unseen")

    def prepare(self) -> None:
        self.base.prepare()
        self.num_classes = int(getattr(self.base, FACT))
        if any(c >= self.num_classes for c in self.unseen) or len(set(self.unseen)) >= self.num_classes:
            raise ValueError(f"unseen {list(self.unseen)} must be some of the classes 0 to {self.num_classes - 1}")
        left_out = torch.tensor(self.unseen, dtype=torch.long)
        self._splits: dict[str, tuple[Tensor, Tensor]] = {}
        for split in ("train", "val", "test"):
            inputs, targets = self._whole(split)
            seen = ~torch.isin(targets, left_out)
            self._splits[split] = inputs[seen], targets[seen]
            if split == "test" and self.unseen:
                self._splits["test-unseen"] = inputs[~seen], targets[~seen]
        self._splits["train"] = self._chosen("train", self.train_limit, self.seed)
        for split in {"test", "test-unseen"} & self._splits.keys():
            self._splits[split] = self._chosen(split, self.test_limit, 0)
        inputs, targets = self._splits["test"]
        noise = torch.randn(inputs.shape, generator=generator(1))
        self._splits["test-noise"] = (inputs + self.noise * noise).clamp(0, 1), targets
        self._splits["test-turned"] = turned(inputs, self.angle), targets
        inputs, targets = self._splits["train"]
        self.num_train = len(targets)
        self.input_shape = tuple(inputs.shape[1:])
        self.num_features = inputs[0].numel()

    def _whole(self, split: str) -> tuple[Tensor, Tensor]:
        total = self.base.batches(split)
        if total is None:
            raise ValueError(f"the split {split} of the data has no end")
        batches = [self.base.batch(split, i) for i in range(total)]
        return torch.cat([b["inputs"] for b in batches]), torch.cat([b["targets"] for b in batches])

    def _chosen(self, split: str, limit: int | None, seed: int) -> tuple[Tensor, Tensor]:
        inputs, targets = self._splits[split]
        order = rows(len(targets), len(targets), 0, seed=seed, shuffle=True)
        chosen = (with_every_class(order, targets, 0, limit) if split == "train" else order)[:limit]
        return inputs[chosen], targets[chosen]

    def batches(self, split: str) -> int:
        return batch_count(len(self._splits[split][1]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> ClassificationBatch:
        inputs, targets = self._splits[split]
        chosen = rows(len(targets), self.batch_size, i, seed=self.seed, shuffle=split == "train")
        return {"inputs": inputs[chosen], "targets": targets[chosen]}


def turned(inputs: Tensor, angle: float) -> Tensor:
    """Returns images (batch, height, width) or (batch, channels, height, width) rotated by `angle` degrees."""
    pictures = inputs.unsqueeze(1) if inputs.ndim == 3 else inputs
    radians = torch.deg2rad(torch.tensor(angle))
    cos, sin, zero = radians.cos(), radians.sin(), torch.tensor(0.0)
    matrix = torch.stack([torch.stack([cos, -sin, zero]), torch.stack([sin, cos, zero])]).expand(len(pictures), 2, 3)
    grid = functional.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, align_corners=False).reshape(inputs.shape)
