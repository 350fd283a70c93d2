"""Pictures of one's own: a folder with one folder of pictures for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from rk import UserError
from rk.sampling import rows
from rk_vision.pictures import Labelled, PictureData
from rk_vision.reading import read_colored, read_grey

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class ImageFolder(PictureData):
    """A folder with one folder of pictures for each class; or with folders `train` and `test` which have such.

    Pictures are scaled to one size, whatever their shape. Grey ones count as ink: dark on light ground or the reverse.

    Args:
        folder: Where the class folders are.
        size: Height and width to which pictures are scaled.
        channels: 3 for colour, 1 for grey.
        val_fraction: Share of the training pictures that is validated instead.
        test_fraction: Share of all pictures that is tested instead, where there is no folder `test`.
    """

    def __init__(
        self,
        folder: Path,
        size: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]] = (32, 32),
        channels: Literal[1, 3] = 3,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        **pictures: Any,
    ) -> None:
        super().__init__(val_fraction=val_fraction, **pictures)
        self.folder = Path(folder).expanduser()
        self.size = size
        self.channels = channels
        self.test_fraction = test_fraction
        self.classes: list[str] = []

    @property
    def num_classes(self) -> int:
        """How many class folders there are."""
        return len(self.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return (self.channels, *self.size)

    @property
    def num_features(self) -> int:
        """Numbers per picture."""
        return self.channels * self.size[0] * self.size[1]

    @property
    def _names(self) -> list[str]:
        return self.classes

    def state_dict(self) -> dict[str, Any]:
        """Returns the names of the classes: a run answers without the folder."""
        return {"classes": self.classes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.classes = list(state["classes"])

    def _load(self) -> tuple[Labelled, Labelled]:
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: no such folder", "data.folder is a folder of class folders")
        parts = [self.folder / name for name in ("train", "test")]
        if all(part.is_dir() for part in parts):
            self.classes = _class_names(parts[0])
            return self._decode(_files(parts[0], self.classes)), self._decode(_files(parts[1], self.classes))
        self.classes = _class_names(self.folder)
        files = _files(self.folder, self.classes)
        order = rows(len(files), len(files), 0, seed=0, shuffle=True).tolist()
        n_test = max(1, round(self.test_fraction * len(files)))
        chosen = [files[i] for i in order]
        if n_test == len(files):
            raise UserError(f"{self.folder}: {len(files)} pictures are too few to train, validate and test")
        return self._decode(chosen[n_test:]), self._decode(chosen[:n_test])

    def _decode(self, files: list[tuple[Path, int]]) -> Labelled:
        pictures = torch.stack([(255 * self._read_picture(path)).round().byte() for path, _ in files])
        return pictures, torch.tensor([label for _, label in files])

    def _read_picture(self, path: Path) -> Tensor:
        return read_colored(path, self.size) if self.channels == 3 else read_grey(path, self.size)


def _class_names(folder: Path) -> list[str]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(names) < 2:
        found = f"only the folder {names[0]}" if names else "no folders"
        raise UserError(f"{folder}: {found}", "there is one folder of pictures for each of at least two classes")
    return names


def _files(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """Returns the pictures with their class numbers, in the order of their paths."""
    unknown = sorted({p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")} - {*classes})
    if unknown:
        raise UserError(f"{folder / unknown[0]}: a class that has no training pictures")
    files = [
        (path, label)
        for label, name in enumerate(classes)
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".")
    ]
    empty = sorted(set(range(len(classes))) - {label for _, label in files})
    if empty:
        raise UserError(f"{folder / classes[empty[0]]}: no pictures", f"endings: {', '.join(ENDINGS)}")
    return files
