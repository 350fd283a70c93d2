"""The layout of a folder of images: class folders, alone or inside folders for the splits; and what is ignored."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rk import UserError
from rk.images import ENDINGS

Files = list[tuple[Path, int]]
"""Image files with their class numbers."""

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Names of folders for the splits, in any case."""
SYSTEM_FILES = ("thumbs.db", "desktop.ini", "__macosx")
"""Files that operating systems leave in folders, besides hidden files."""
LISTED = 10
"""Most ignored entries that are named."""


@dataclass
class Layout:
    """The content of a folder.

    Attributes:
        folder: The folder.
        classes: Names of the classes, in order.
        splits: Files of each split that has a folder; all files under ``train`` where there are only class folders.
        ignored: What was passed over, and why.
        n_hidden: Hidden files and files of operating systems that were passed over.
    """

    folder: Path
    classes: list[str] = field(default_factory=list)
    splits: dict[str, Files] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    n_hidden: int = 0

    def summary(self) -> str | None:
        """Returns one line about all that was ignored; None when nothing was."""
        parts = self.ignored[:LISTED]
        if len(self.ignored) > LISTED:
            parts.append(f"{len(self.ignored) - LISTED} more")
        if self.n_hidden:
            parts.append(f"{self.n_hidden} hidden or system file{'s' if self.n_hidden > 1 else ''}")
        return f"{self.folder}: ignored: {', '.join(parts)}" if parts else None

    def ignore(self, path: Path, reason: str) -> None:
        """Notes an entry that is passed over."""
        if _is_hidden(path):
            self.n_hidden += 1
        else:
            self.ignored.append(f"{path.relative_to(self.folder)} ({reason})")

    def folders(self, parent: Path, reason: str) -> list[Path]:
        """Returns the folders in `parent`, and notes that its files are ignored."""
        found = []
        for path in entries(parent):
            if path.is_dir() and not _is_hidden(path):
                found.append(path)
            else:
                self.ignore(path, reason)
        return found


def read_layout(folder: Path) -> Layout:
    """Returns the images in `folder` by split and class.

    Raises:
        UserError: When there is no such folder, fewer than two classes, a class without images, or a split with a class
            that is not trained.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder", "data.folder is a folder of class folders")
    layout = Layout(folder)
    inside = layout.folders(folder, "not in a class folder")
    splits = _split_folders(folder, inside)
    if not splits:
        layout.classes = _class_names(folder, inside)
        layout.splits["train"] = _files(layout, {path.name: path for path in inside}, layout.classes)
        _check_complete(layout, folder)
        return layout
    for path in inside:
        if path not in splits.values():
            layout.ignore(path, "not a folder of a split")
    for split, path in splits.items():
        classes = layout.folders(path, "not in a class folder")
        if split == "train":
            layout.classes = _class_names(path, classes)
        unknown = sorted({c.name for c in classes} - {*layout.classes})
        if unknown:
            raise UserError(
                f"{path / unknown[0]}: a class that has no training images",
                f"the classes in {splits['train']}: {', '.join(layout.classes[:LISTED])}",
            )
        layout.splits[split] = _files(layout, {c.name: c for c in classes}, layout.classes)
        if split == "train":
            _check_complete(layout, path)
        elif not layout.splits[split]:
            raise UserError(f"{path}: no images", f"endings: {', '.join(ENDINGS)}")
    return layout


def entries(folder: Path) -> list[Path]:
    """Returns what is in a folder, in order. Raises `UserError` when it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from None


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in SYSTEM_FILES


def _split_folders(folder: Path, inside: list[Path]) -> dict[str, Path]:
    """Returns the folders of the splits, train first; none, where the folders are those of classes.

    They are splits when all of them have names of splits, or when the one for training has folders itself: a class may
    be called `train`.
    """
    found: dict[str, Path] = {}
    for split, names in SPLIT_NAMES.items():
        those = [path for path in inside if path.name.lower() in names]
        if len(those) > 1:
            listed = " and ".join(str(path.name) for path in those)
            raise UserError(f"{folder}: {listed} are both folders for the split {split}", "keep one of them")
        if those:
            found[split] = those[0]
    if not found:
        return {}
    named = len(found) == len(inside)
    if "train" in found:
        nested = any(path.is_dir() and not _is_hidden(path) for path in entries(found["train"]))
        return found if named or nested else {}
    if named:
        raise UserError(f"{folder}: no folder train", f"there is {', '.join(path.name for path in found.values())}")
    return {}


def _class_names(folder: Path, inside: list[Path]) -> list[str]:
    names = sorted(path.name for path in inside)
    if len(names) < 2:
        found = f"only the folder {names[0]}" if names else "no folders"
        raise UserError(f"{folder}: {found}", "there must be one folder of images for each of at least two classes")
    return names


def _files(layout: Layout, folders: dict[str, Path], classes: list[str]) -> Files:
    """Returns the images in class folders, in the order of classes and paths."""
    files: Files = []
    for label, name in enumerate(classes):
        if name not in folders:
            continue
        for path in entries(folders[name]):
            if path.is_dir():
                layout.ignore(path, "a folder in a class folder")
            elif path.suffix.lower() not in ENDINGS or _is_hidden(path):
                layout.ignore(path, "not the ending of an image")
            else:
                files.append((path, label))
    return files


def _check_complete(layout: Layout, folder: Path) -> None:
    empty = sorted(set(range(len(layout.classes))) - {label for _, label in layout.splits["train"]})
    if empty:
        raise UserError(f"{folder / layout.classes[empty[0]]}: no images", f"endings: {', '.join(ENDINGS)}")
