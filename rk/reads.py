"""What an answer rests on: whoever keeps one learns which files and folders were looked at for it.

The readers of sources and recipes note here what they read. Nothing is kept unless somebody asks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Reads:
    """What was looked at.

    Attributes:
        files: Paths of files, whether they exist or not.
        folders: Paths of folders whose names were searched.
        packages: Names of top-level modules that were searched for.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.packages: set[str] = set()


_open: list[Reads] = []


@contextlib.contextmanager
def noted() -> Iterator[Reads]:
    """Notes what is read in the block; blocks may stand within each other."""
    reads = Reads()
    _open.append(reads)
    try:
        yield reads
    finally:
        _open.remove(reads)


def note(*, file: object = None, folder: object = None, package: str | None = None) -> None:
    """Says that a file, a folder or the name of a top-level module has been looked at."""
    for reads in _open:
        if file is not None:
            reads.files.add(str(file))
        if folder is not None:
            reads.folders.add(str(folder))
        if package is not None:
            reads.packages.add(package)
