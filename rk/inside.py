"""Files that are really inside a folder: a run from somebody else may hold links to anywhere."""

from __future__ import annotations

import os
from pathlib import Path


def lies_within(path: Path, folder: Path) -> bool:
    """Whether `path` is a regular file of `folder`, with all links followed.

    Args:
        path: The file.
        folder: A run folder; it may be a link itself.
    """
    try:
        real, root = os.path.realpath(path), os.path.realpath(folder)
        return os.path.isfile(real) and os.path.commonpath([real, root]) == root
    except (OSError, ValueError):
        return False


def pictures(folder: Path, endings: tuple[str, ...], pattern: str = "*") -> list[Path]:
    """Returns the images in the folder ``figures`` of a run, by name; links that lead out of the run are left out.

    Args:
        folder: The run folder.
        endings: Of the names, in lower case: ``(".png", ".svg")``.
        pattern: What names look like: ``test*``.
    """
    found = (folder / "figures").glob(pattern)
    return sorted(p for p in found if p.suffix.lower() in endings and lies_within(p, folder))
