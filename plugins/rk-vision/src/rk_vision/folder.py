"""A user's images: a folder with one folder of images for each class."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from rk import UserError
from rk.drafting import Draft
from rk.images import image_steps, pillow
from rk.sampling import rows, with_every_class
from rk_vision.folder_drafts import draft_classes
from rk_vision.layout import Files, read_layout
from rk_vision.pictures import Labelled, PictureData
from rk_vision.reading import read_colored, read_grey

LISTED = 20
"""Most broken files that are named at once."""


class ImageFolder(PictureData):
    """A folder with one folder of images for each class; or with folders `train`, `val` and `test` which have such.

    `val` may be called `valid`, `validation` or `dev`. Where `val` or `test` is missing, a share of the training images
    is taken instead, and every class keeps training images. Images are scaled to one size, whatever their shape. Grey
    ones count as ink: dark on light ground or the reverse. Of an animation, the first image counts. Files and folders
    that are ignored are named in a warning.

    Args:
        folder: Where the class folders are.
        size: Height and width to which images are scaled.
        channels: 3 for colour, 1 for grey.
        val_fraction: Share of the training images that is validated instead, where there is no folder `val`.
        test_fraction: Share of the training images that is tested instead, where there is no folder `test`.

    Examples:
        data: {name: image-folder, folder: images, size: [32, 32], channels: 3}
    """

    drafts = ("/",)

    def __init__(
        self,
        folder: Path,
        size: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]] = (32, 32),
        channels: Literal[1, 3] = 3,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        **images: Any,
    ) -> None:
        super().__init__(val_fraction=val_fraction, **images)
        self.folder = Path(folder).expanduser()
        self.size = size
        self.channels = channels
        self.test_fraction = test_fraction
        self.classes: list[str] = []

    @property
    def num_classes(self) -> int:  # type: ignore[override]  # a fact: never set
        """The number of class folders."""
        return len(self.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:  # type: ignore[override]  # a fact: never set
        """Channels, height and width."""
        return (self.channels, *self.size)

    @property
    def num_features(self) -> int:  # type: ignore[override]  # a fact: never set
        """Values per image."""
        return self.channels * self.size[0] * self.size[1]

    @property
    def _names(self) -> list[str]:  # type: ignore[override]  # what a class has anyway, this one reads
        return self.classes

    def preprocessing(self) -> dict[str, Any]:
        """Returns how an image becomes ``inputs``."""
        grey = self.channels == 1
        return image_steps(size=self.size, mode="L" if grey else "RGB", layout="CHW", ground_is_zero=grey)

    def state_dict(self) -> dict[str, Any]:
        """Returns the names of the classes: a run answers without the folder."""
        return {"classes": self.classes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.classes = list(state["classes"])

    @classmethod
    def draft(cls, path: Path, target: str | None) -> Draft | None:
        """Proposes a recipe for a folder of class folders."""
        return draft_classes(path)

    def _load(self) -> tuple[Labelled, Labelled]:
        layout = read_layout(self.folder)
        if (ignored := layout.summary()) is not None:
            print(f"warning: {ignored}", file=sys.stderr)
        self.classes = layout.classes
        splits = layout.splits
        if "test" not in splits:
            splits["train"], splits["test"] = self._hold_out_tests(splits["train"])
        names, parts = [*splits], [*splits.values()]
        images, targets = self._decode([file for part in parts for file in part])
        sizes = [len(part) for part in parts]
        decoded = dict(zip(names, zip(images.split(sizes), targets.split(sizes), strict=True), strict=True))
        self._val: Labelled | None = decoded.get("val")
        return decoded["train"], decoded["test"]

    def _load_val(self) -> Labelled | None:
        return self._val

    def _hold_out_tests(self, files: Files) -> tuple[Files, Files]:
        """Returns the files to train on and those to test, chosen at random; every class stays in the former."""
        n_test = max(1, round(self.test_fraction * len(files)))
        labels = torch.tensor([label for _, label in files])
        order = with_every_class(rows(len(files), len(files), 0, seed=0, shuffle=True), labels, n_test)
        chosen = [files[i] for i in order.tolist()]
        missing = sorted({label for _, label in files} - {label for _, label in chosen[n_test:]})
        if missing:
            raise UserError(
                f"{self.folder}: {len(files)} images are too few to train, validate and test: "
                f"the class {self.classes[missing[0]]} has no training images",
                "give each class three images or more",
            )
        return chosen[n_test:], chosen[:n_test]

    def _decode(self, files: Files) -> Labelled:
        """Returns the images as bytes. Raises `UserError` with every file that cannot be read."""
        pillow()
        images, wrong = [], []
        for path, _ in files:
            try:
                images.append((255 * self._read_picture(path)).round().byte())
            except UserError as error:
                wrong.append(error)
        if len(wrong) == 1:
            raise UserError(wrong[0].message, wrong[0].hint)
        if wrong:
            lines = [error.message for error in wrong[:LISTED]]
            lines += [f"and {len(wrong) - LISTED} more"] if len(wrong) > LISTED else []
            raise UserError("\n  ".join([f"{len(wrong)} images cannot be read:", *lines]), "fix or remove them")
        return torch.stack(images), torch.tensor([label for _, label in files])

    def _read_picture(self, path: Path) -> Tensor:
        return read_colored(path, self.size) if self.channels == 3 else read_grey(path, self.size)
