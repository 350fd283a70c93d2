"""The base of image data with a class for each pixel: answers, overlays, and masks that are written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from rk.builtin.metrics import Accuracy
from rk.fields import IGNORED
from rk.images import image_steps, pillow, read_image
from rk.protocols import Batch, Outputs
from rk.sheets import draw_sheet
from rk_vision.overlap import Dice, MeanIoU

Value = int | tuple[int, int, int]
"""How a mask writes a class: a number, or a colour."""

SHOWN = 16
"""Most images on a sheet."""
STRENGTH = 0.5
"""Share of a class's colour over an image."""
COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")
"""Of the classes behind the first one, which the colour-blind distinguish (Okabe and Ito, 2008)."""


class MaskBatch(TypedDict):
    """Images, and the class of each pixel; -100 where it counts for nothing."""

    inputs: Float[Tensor, "batch channels height width"]
    targets: Int[Tensor, "batch height width"]


class PixelAccuracy(Accuracy):
    """Share of pixels whose class is the likeliest one."""

    def __init__(self) -> None:
        super().__init__(ignore_index=IGNORED)


class MaskData(ABC):
    """Images with a class for each pixel.

    Args:
        seed: Orders the training batches.
        batch_size: Images per batch.
        size: Height and width to which images are scaled.
        channels: 3 for colour, 1 for grey.
    """

    splits = ("train", "val", "test")
    metrics: Mapping[str, Any] = {"mean-iou": MeanIoU, "dice": Dice, "accuracy": PixelAccuracy}
    writes = (".png",)

    def __init__(
        self,
        seed: int,
        batch_size: Annotated[int, Ge(1)] = 16,
        size: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]] = (64, 64),
        channels: Literal[1, 3] = 3,
    ) -> None:
        self.seed = seed
        self.batch_size = batch_size
        self.size = size
        self.channels: Literal[1, 3] = channels
        self.names: list[str] = []
        self.values: list[Value] = []

    @property
    def num_classes(self) -> int:
        """Classes of pixels."""
        return len(self.names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return (self.channels, *self.size)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return tuple(self.names)

    @abstractmethod
    def batch(self, split: str, i: int, stage: int = 0) -> MaskBatch: ...

    def preprocessing(self) -> dict[str, Any]:
        """Returns how an image becomes ``inputs``."""
        return image_steps(size=self.size, mode="RGB" if self.channels == 3 else "L", layout="CHW")

    def read(self, path: Path) -> Batch:
        """Reads an image (PNG, JPEG and others)."""
        image = read_image(path, self.channels)
        scaled = read_image(path, self.channels, self.size)
        return {"inputs": scaled.unsqueeze(0), "sizes_meta": [tuple(image.shape[1:])]}

    def answers(self, batch: Batch, outputs: Outputs) -> list[dict[str, Any]]:
        """Returns for each image the share of its pixels that each class has."""
        found = outputs["logits"].argmax(-1).flatten(1)
        shares = torch.stack([(found == c).double().mean(1) for c in range(len(self.names))], 1)
        return [
            {"shares": {name: round(share, 4) for name, share in zip(self.names, row, strict=True)}}
            for row in shares.tolist()
        ]

    def write(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Writes the mask of each image, at the image's own size and with the numbers or colours of the trained masks.

        Returns:
            The files: `out`, or of several images, each its own.
        """
        logits = outputs["logits"].movedim(-1, 1)
        sizes = batch.get("sizes_meta") or [self.size] * len(logits)
        paths = []
        for i, size in enumerate(sizes):
            path = out if len(sizes) == 1 else out.with_name(f"{out.stem}-{i + 1}{out.suffix}")
            scaled = F.interpolate(logits[i : i + 1], size, mode="bilinear", align_corners=False)
            self._image(scaled.argmax(1)[0].cpu()).save(path)
            paths.append(path)
        return paths

    def _image(self, classes: Int[Tensor, "height width"]) -> Any:  # Any: Pillow's image
        values = torch.tensor(self.values)
        if values.ndim == 2 or int(values.max()) < 256:
            return pillow().fromarray(values.to(torch.uint8)[classes].numpy())
        return pillow().fromarray(values[classes].numpy().astype("uint16"))

    def render(self, batch: Batch, outputs: Outputs, out: Path) -> list[Path]:
        """Draws up to 16 images with the classes of their pixels over them; below, the share that is right."""
        found = outputs["logits"][:SHOWN].argmax(-1).cpu()
        light = batch["inputs"][:SHOWN].cpu().expand(-1, 3, -1, -1)
        drawn = overlaid(light, found)
        known = batch.get("targets")
        if known is None:
            captions = [f"{(row > 0).double().mean():.0%} {self._behind()}" for row in found]
            return [draw_sheet(drawn, captions, [None] * len(drawn), out)]
        right = (found == known[:SHOWN].cpu()) | (known[:SHOWN].cpu() == IGNORED)
        captions = [f"{share:.0%} right" for share in right.flatten(1).double().mean(1).tolist()]
        return [draw_sheet(drawn, captions, [None] * len(drawn), out)]

    def _behind(self) -> str:
        """Returns what all classes but the first are called together."""
        return self.names[1] if len(self.names) == 2 else f"not {self.names[0]}"


def overlaid(
    images: Float[Tensor, "batch 3 height width"], classes: Int[Tensor, "batch height width"]
) -> Float[Tensor, "batch 3 height width"]:
    """Returns images with the colours of the classes over them; nothing is over pixels of the first class."""
    colors = torch.tensor([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in COLORS])
    over = colors[(classes - 1).clamp(min=0) % len(COLORS)].movedim(-1, 1)
    return torch.where((classes > 0).unsqueeze(1), (1 - STRENGTH) * images + STRENGTH * over, images)
