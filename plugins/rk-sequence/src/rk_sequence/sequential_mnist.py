"""Task `sequential-mnist`: a handwritten digit, pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from rk_vision.mnist import MNIST
from torch import Tensor
from torch.nn import functional as F

from rk.protocols import Batch, Outputs
from rk_sequence.fields import SeriesBatch
from rk_sequence.metrics import class_accuracy

SIDE = 28


class SequentialMNIST(MNIST):
    """MNIST as a sequence of grey values, line by line from the top left (arXiv:1504.00941, Sec. 4.2).

    Args:
        pixels_per_step: Grey values that make up a step: 28 for line by line.
        shrink: Averages over squares of so many pixels a side: 2 for 14 x 14.
        permuted: Puts the grey values in another order, the same for all images and seeds.

    Raises:
        ValueError: When `shrink` does not divide the side, or `pixels_per_step` the image.

    Examples:
        data: {name: sequential-mnist, pixels_per_step: 28, permuted: true}
    """

    metrics = {"accuracy": class_accuracy}
    vocab_size: None = None
    num_outputs: int = 10
    readout: Literal["last"] = "last"

    def __init__(
        self,
        *,
        pixels_per_step: Annotated[int, Ge(1)] = 1,
        shrink: Annotated[int, Ge(1)] = 1,
        permuted: bool = False,
        **pictures: Any,
    ) -> None:
        super().__init__(**pictures)
        if SIDE % shrink:
            raise ValueError(f"shrink must divide a side of {SIDE} pixels, got {shrink}")
        self.side = SIDE // shrink
        if self.side**2 % pixels_per_step:
            raise ValueError(f"pixels_per_step must divide {self.side**2} pixels, got {pixels_per_step}")
        self.shrink = shrink
        self.pixels_per_step = pixels_per_step
        order = torch.randperm(self.side**2, generator=torch.Generator().manual_seed(0))
        self._order = order if permuted else torch.arange(self.side**2)

    @property
    def num_features(self) -> int:  # type: ignore[override]  # a fact: never set
        """Grey values of a step."""
        return self.pixels_per_step

    @property
    def input_shape(self) -> tuple[int, ...]:  # type: ignore[override]  # a fact: never set
        """Steps, and grey values of a step."""
        return (self.side**2 // self.pixels_per_step, self.pixels_per_step)

    def batch(self, split: str, i: int, stage: int = 0) -> SeriesBatch:
        batch = super().batch(split, i, stage)
        return {"inputs": self._series(batch["inputs"]), "targets": batch["targets"]}

    def read(self, path: Path) -> Batch:
        """Reads an image (PNG, JPEG and others): dark on light ground, or the reverse."""
        return {"inputs": self._series(super().read(path)["inputs"])}

    def preprocessing(self) -> dict[str, Any]:
        """Returns how an image becomes ``inputs``: that of MNIST, then its levels in order."""
        series = {"shrink": self.shrink, "order": self._order.tolist(), "shape": list(self.input_shape)}
        return {**super().preprocessing(), "series": series}

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to 16 images with the answered class, in green or red where the class is known."""
        return super().render({**batch, "inputs": self._pictures(batch["inputs"])}, outputs, out)

    def _series(self, pictures: Float[Tensor, "b 1 height width"]) -> Float[Tensor, "b t k"]:
        if self.shrink > 1:
            pictures = F.avg_pool2d(pictures, self.shrink)
        return pictures.flatten(1)[:, self._order].unflatten(1, self.input_shape)

    def _pictures(self, series: Float[Tensor, "b t k"]) -> Float[Tensor, "b 1 height width"]:
        pixels = torch.empty_like(series.flatten(1))
        pixels[:, self._order] = series.flatten(1)
        return pixels.unflatten(1, (1, self.side, self.side))
