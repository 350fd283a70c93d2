"""The layout of a folder of images with masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rk import UserError
from rk.images import ENDINGS
from rk_vision.layout import SPLIT_NAMES, entries

Pair = tuple[Path, Path]
"""An image and its mask."""

IMAGES = ("images", "image", "imgs", "img", "photos")
MASKS = ("masks", "mask", "labels", "annotations", "segmentations", "gt")
"""Names of the folders, in any case."""
SUFFIXES = ("", "_mask", "-mask", "_label", "_seg")
"""What the stem of a mask may have behind that of its image."""
LISTED = 10
"""Most files that are named."""


@dataclass
class Pairs:
    """The content of a folder.

    Attributes:
        splits: Images with their masks, by split; all under ``train`` where there are no folders for splits.
        ignored: Files that were passed over, and why.
    """

    splits: dict[str, list[Pair]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def part_folders(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Returns the folders of images and of masks by split; an empty dict where the folder has no such layout."""
    inside = {path.name.lower(): path for path in entries(folder) if path.is_dir()}
    if (both := _both(folder)) is not None:
        return {"train": both}
    found = {}
    for split, names in SPLIT_NAMES.items():
        for name in names:
            if name in inside and (both := _both(inside[name])) is not None:
                found[split] = both
    return found if "train" in found else {}


def _both(folder: Path) -> tuple[Path, Path] | None:
    inside = {path.name.lower(): path for path in entries(folder) if path.is_dir()}
    images = next((inside[name] for name in IMAGES if name in inside), None)
    masks = next((inside[name] for name in MASKS if name in inside), None)
    return (images, masks) if images is not None and masks is not None else None


def read_pairs(folder: Path) -> Pairs:
    """Returns the images in a folder with their masks.

    Raises:
        UserError: When there is no such folder, no images, or with every image that has no mask.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder", "data.folder has folders images and masks")
    parts = part_folders(folder)
    if not parts:
        raise UserError(f"{folder}: expected folders images and masks, got none", "or train, val, test with both")
    found = Pairs()
    for split, (images, masks) in parts.items():
        by_stem = {path.stem: path for path in _files(masks)}
        alone, used = [], set()
        found.splits[split] = []
        for image in _files(images):
            mask = next((by_stem[image.stem + end] for end in SUFFIXES if image.stem + end in by_stem), None)
            if mask is None:
                alone.append(image)
            else:
                used.add(mask)
                found.splits[split].append((image, mask))
        if alone:
            shown = ", ".join(path.name for path in alone[:LISTED]) + (", ..." if len(alone) > LISTED else "")
            plural = "s have" if len(alone) > 1 else " has"
            raise UserError(f"{images}: {len(alone)} image{plural} no mask in {masks}: {shown}", "give each its mask")
        if not found.splits[split]:
            raise UserError(f"{images}: no images", f"endings: {', '.join(ENDINGS)}")
        found.ignored += [f"{path.relative_to(folder)} (no image)" for path in by_stem.values() if path not in used]
    return found


def _files(folder: Path) -> list[Path]:
    return [p for p in entries(folder) if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
