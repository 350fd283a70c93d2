"""rk-vision: batches by indexing against images one by one, and its conv block against the usual one; one thread.

python benchmarks/vision.py
"""

from __future__ import annotations

from functools import partial

import torch
from paired import interleave, report, seconds
from rk_vision.conv_block import ConvBlock
from rk_vision.pictures import PictureData
from torch import Tensor, nn
from torch.nn import functional as F


class Noise(PictureData):
    """60000 images of MNIST's size, without the files."""

    _names = tuple("0123456789")

    def _load(self):
        images = torch.randint(0, 256, (60_000, 1, 28, 28), dtype=torch.uint8)
        return (images, torch.randint(0, 10, (60_000,))), (images[:1000], torch.zeros(1000).long())

    def _read_picture(self, path):
        raise NotImplementedError


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batches()
    steps()


def batches() -> None:
    """A training batch, against what a data loader does: 128 images one by one, converted to floats, then stacked."""
    data = Noise(seed=0)
    data.prepare()
    images, targets = data._splits["train"]
    chosen = torch.randperm(len(targets))[:128].tolist()

    def one_by_one() -> tuple[Tensor, Tensor]:
        items = [(images[i].float() / 255, targets[i]) for i in chosen]
        return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])

    timed = {"one by one": one_by_one, "by indexing, with the shuffling": partial(data.batch, "train", 3)}
    report("A batch of 128 images", interleave({k: partial(seconds, f) for k, f in timed.items()}, 30), "one by one")


def steps() -> None:
    """A training step of the conv block, against 3 x 3 convolutions and max-pooling with channels first."""
    ours = ConvBlock((1, 28, 28), (10,), 10)
    usual = ConvBlock((1, 28, 28), (10,), 10)
    usual.image = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(),
    )  # fmt: skip
    z, x, y = torch.randn(128, 10), torch.rand(128, 1, 28, 28), torch.randint(0, 10, (128,))

    def step(block: nn.Module) -> tuple[Tensor, ...]:
        return torch.autograd.grad(F.cross_entropy(block(z, x), y), [*block.parameters()])

    timed = {"3 x 3, max-pooling": partial(step, usual), "5 x 5, stride 2, channels last": partial(step, ours)}
    found = interleave({k: partial(seconds, f) for k, f in timed.items()}, 10)
    report("Forward and backward pass of a conv block, 128 digits", found, "3 x 3, max-pooling")


if __name__ == "__main__":
    main()
