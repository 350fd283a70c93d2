from __future__ import annotations

from typing import TypedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rk import Data, Objective, Runtime


class Waves(TypedDict):
    values: Float[Tensor, "batch time"]


class Filter(nn.Module):
    """A convolution behind a normaliser that looks at the data once.

    Args:
        width: Samples that it sees at once.
    """

    def __init__(self, width: int = 15) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 8, width, padding="same")
        self.out = nn.Conv1d(8, 1, width, padding="same")
        self.register_buffer("mean", torch.zeros(()))

    def begin(self, *, data: Data, runtime: Runtime) -> None:
        self.mean.copy_(torch.stack([b["inputs"].mean() for b in runtime.batches(data, "train", limit=5)]).mean())

    def forward(self, *, inputs: Float[Tensor, "batch time"]) -> Waves:
        return {"values": self.out(self.conv((inputs - self.mean)[:, None]).tanh())[:, 0]}


class WaveAndSpectrum:
    """The square of the error, and that of its spectrum.

    Args:
        spectrum: Weight of the second.
    """

    def __init__(self, spectrum: float = 0.1) -> None:
        self.spectrum = spectrum

    def __call__(self, *, values: Float[Tensor, "batch time"], targets: Float[Tensor, "batch time"]) -> Objective:
        apart = values - targets
        bands = torch.fft.rfft(apart).abs()
        return {
            "wave": (apart.square().sum(), apart.numel()),
            "spectrum": (bands.square().sum(), bands.numel(), self.spectrum),
        }
