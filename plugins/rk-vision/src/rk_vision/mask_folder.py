"""Data `image-masks`: a user's images with a mask each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from rk import UserError
from rk.drafting import Draft
from rk.fields import IGNORED
from rk.images import pillow, read_image, read_mask
from rk.sampling import batch_count, rows
from rk_vision.folder_drafts import draft_masks
from rk_vision.mask_layout import Pair, read_pairs
from rk_vision.masks import MaskBatch, MaskData, Value

LISTED = 20
"""Most broken files that are named at once."""
MOST = 64
"""Most classes: a file with more different pixels is a photograph, or a mask that JPEG has blurred."""


class ImageMasks(MaskData):
    """A folder with `images` and `masks`, a mask of the same name for each image; or `train`, `val`, `test` with both.

    The pixels of masks are numbers (0 and 255 of two classes, 0, 1, 2, ... of several), places in a palette, or
    colours: every value that a training mask has is a class. Images are scaled to one size, masks by the nearest pixel.
    A mask has the size of its image; one that belongs to a photograph on its side is turned with it.

    Args:
        folder: The folder.
        names: Names of the classes, in the order of their numbers or colours; null: the numbers or colours themselves.
        void: The number of pixels that count for nothing, such as 255; give the loss ``ignore_index: -100``.
        val_fraction: Share of the training images that is validated instead, where there is no folder `val`.
        test_fraction: Share of the training images that is tested instead, where there is no folder `test`.

    Examples:
        data: {name: image-masks, folder: cells, size: [128, 128]}
    """

    drafts = ("/",)

    def __init__(
        self,
        folder: Path,
        names: list[str] | None = None,
        void: Annotated[int, Ge(0)] | None = None,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.15,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.15,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.folder = Path(folder).expanduser()
        self.given = names
        self.void = void
        self.fractions = {"test": test_fraction, "val": val_fraction}

    def prepare(self) -> None:
        pairs = read_pairs(self.folder)
        if pairs.ignored:
            print(f"warning: {self.folder}: ignored: {', '.join(pairs.ignored)}", file=sys.stderr)
        splits = pairs.splits
        if len(splits["train"]) < 4 - len(splits):
            message = f"{len(splits['train'])} images are too few to train, validate and test"
            raise UserError(f"{self.folder}: {message}", "give three or more, or folders train, val and test")
        for split, share in self.fractions.items():
            if split not in splits:
                splits["train"], splits[split] = self._hold_out(splits["train"], share)
        raw = self._decode(splits)
        self._find_classes(raw["train"])
        self._splits = {
            split: (torch.stack([image for _, image, _ in found]), torch.stack([self._classes(*f) for f in found]))
            for split, found in raw.items()
        }

    def _hold_out(self, pairs: list[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
        count = min(max(1, round(share * len(pairs))), len(pairs) - 1)
        order = rows(len(pairs), len(pairs), 0, seed=0, shuffle=True).tolist()
        return [pairs[i] for i in order[count:]], [pairs[i] for i in order[:count]]

    def _decode(self, splits: dict[str, list[Pair]]) -> dict[str, list[tuple[Path, Tensor, Tensor]]]:
        """Returns the images as bytes and the masks as they are. Raises `UserError` with every file that is wrong."""
        pillow()
        found: dict[str, list[tuple[Path, Tensor, Tensor]]] = {split: [] for split in splits}
        wrong: list[UserError] = []
        for split, pairs in splits.items():
            for image, mask in pairs:
                try:
                    levels = (255 * read_image(image, self.channels, self.size)).round().byte()
                    found[split].append((mask, levels, _nearest(read_mask(mask, image), self.size)))
                except UserError as error:
                    wrong.append(error)
        if len(wrong) == 1:
            raise wrong[0]
        if wrong:
            lines = [error.message for error in wrong[:LISTED]]
            lines += [f"and {len(wrong) - LISTED} more"] if len(wrong) > LISTED else []
            raise UserError("\n  ".join([f"{len(wrong)} images cannot be used:", *lines]), "fix or remove them")
        return found

    def _find_classes(self, found: list[tuple[Path, Tensor, Tensor]]) -> None:
        """Numbers the values of the training masks."""
        kinds = {mask.ndim: path for path, _, mask in reversed(found)}
        if len(kinds) > 1:
            raise UserError(f"{kinds[3]}: a mask of colours, but {kinds[2]} is one of numbers", "write all in one way")
        values: set[Value] = set()
        for path, _, mask in found:
            values |= _values(mask) - {self.void}
            if len(values) > MOST:
                raise UserError(
                    f"{path}: expected a mask, got more than {MOST} different values",
                    "masks are PNG or TIFF with a number or a colour per class; JPEG changes them",
                )
        if values == {0, 1, 255}:
            path = next(path for path, _, mask in found if 255 in _values(mask))
            raise UserError(
                f"{path}: a mask of 0 and 255, but others have 0 and 1",
                "write all in one way, or give data.void 255 where it counts for nothing",
            )
        self.values = sorted(values, key=lambda value: value if isinstance(value, tuple) else (value,))
        if len(self.values) < 2:
            raise UserError(f"{self.folder}: expected masks of at least two classes, got {self._shown(self.values)}")
        if self.given is not None and len(self.given) != len(self.values):
            raise ValueError(f"names: {len(self.given)} for {len(self.values)} classes: {self._shown(self.values)}")
        self.names = list(self.given or map(_name, self.values))

    @staticmethod
    def _shown(values: list[Value]) -> str:
        return ", ".join(map(_name, values)) or "none"

    def _classes(self, path: Path, _: Tensor, mask: Int[Tensor, "height width *color"]) -> Int[Tensor, "height width"]:
        """Returns the class of each pixel. Raises `UserError` for one that no training mask has."""
        classes = torch.full(tuple(self.size), -1, dtype=torch.int64)
        for number, value in enumerate(self.values):
            same = (mask == torch.tensor(value)) if mask.ndim == 2 else (mask == torch.tensor(value)).all(-1)
            classes[same] = number
        if self.void is not None and mask.ndim == 2:
            classes[mask == self.void] = IGNORED
        if (classes == -1).any():
            unknown = sorted(_values(mask) - {*self.values, self.void}, key=str)[0]
            raise UserError(
                f"{path}: the class {_name(unknown)} is in no training mask", f"classes: {self._shown(self.values)}"
            )
        return classes

    def batches(self, split: str) -> int:
        return batch_count(len(self._splits[split][0]), self.batch_size)

    def batch(self, split: str, i: int, stage: int = 0) -> MaskBatch:
        images, targets = self._splits[split]
        chosen = rows(len(targets), self.batch_size, i, seed=self.seed, shuffle=split == "train")
        return {"inputs": images[chosen].float().div_(255), "targets": targets[chosen]}

    def state_dict(self) -> dict[str, Any]:
        """Returns the classes and how masks write them: a run answers without the folder."""
        return {"names": self.names, "values": [list(v) if isinstance(v, tuple) else v for v in self.values]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.names = list(state["names"])
        self.values = [tuple(v) if isinstance(v, list | tuple) else v for v in state["values"]]

    @classmethod
    def draft(cls, path: Path, target: str | None) -> Draft | None:
        """Proposes a recipe for a folder with `images` and `masks`."""
        return draft_masks(path)


def _nearest(mask: Int[Tensor, "height width *color"], size: tuple[int, int]) -> Int[Tensor, "height width *color"]:
    """Returns the mask at another size, each pixel that of the nearest place."""
    planes = mask.unsqueeze(-1) if mask.ndim == 2 else mask
    scaled = F.interpolate(planes.movedim(-1, 0).unsqueeze(0).double(), size, mode="nearest-exact")[0].int()
    return scaled[0] if mask.ndim == 2 else scaled.movedim(0, -1)


def _values(mask: Int[Tensor, "height width *color"]) -> set[Value]:
    if mask.ndim == 2:
        return set(mask.unique().tolist())
    return {(r, g, b) for r, g, b in mask.reshape(-1, 3).unique(dim=0).tolist()}


def _name(value: Value | None) -> str:
    return "#{:02x}{:02x}{:02x}".format(*value) if isinstance(value, tuple) else str(value)
