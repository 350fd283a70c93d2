from __future__ import annotations

import wave
from pathlib import Path
from typing import TypedDict

import numpy
import torch
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.sampling import generator

RATE = 800


class WaveBatch(TypedDict):
    inputs: Float[Tensor, "batch time"]
    targets: Float[Tensor, "batch time"]


def error(*, values: Float[Tensor, "batch time"], targets: Float[Tensor, "batch time"]) -> tuple[Tensor, int]:
    return (values - targets).square().sum(), targets.numel()


error.higher_is_better = False


class Tones:
    """Tones in noise: the tone is wanted. Batches have several lengths; longer ones are tested.

    Args:
        seed: Seeds the tones.
    """

    splits = ("train", "val", "test-64", "test-128")
    metrics = {"error": error}
    writes = (".wav", ".npz")

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def batches(self, split: str) -> int | None:
        return None if split == "train" else 3

    def batch(self, split: str, i: int, stage: int = 0) -> WaveBatch:
        g = generator(self.seed, split, i)
        time = int(split[5:]) if split.startswith("test") else (48, 64)[i % 2]
        t = torch.arange(time) / RATE
        pitch = 20 + 80 * torch.rand(16, 1, generator=g)
        tone = torch.sin(2 * torch.pi * (pitch * t + torch.rand(16, 1, generator=g)))
        return {"inputs": 3 + tone + 0.7 * torch.randn(16, time, generator=g), "targets": tone}

    def read(self, path: Path) -> WaveBatch:
        try:
            if path.suffix == ".wav":
                with wave.open(str(path)) as file:
                    found = numpy.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
            else:
                found = numpy.load(path)["wave"]
        except (OSError, ValueError, KeyError, wave.Error, EOFError) as reason:
            raise UserError(f"{path} is not a wave: {reason}") from None
        return {"inputs": torch.tensor(found, dtype=torch.float32)[None]}

    def write(self, batch: WaveBatch, outputs: dict[str, Tensor], out: Path) -> list[Path]:
        values = outputs["values"][0].clamp(-1, 1).numpy()
        if out.suffix == ".npz":
            numpy.savez(out, wave=values)
            return [out]
        with wave.open(str(out), "wb") as file:
            file.setparams((1, 2, RATE, len(values), "NONE", ""))
            file.writeframes((values * 32767).astype("<i2").tobytes())
        return [out]
