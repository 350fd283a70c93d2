"""The dependencies of a cached answer: the files and folders that were read for it.

The readers of sources and recipes note here what they read. Nothing is kept unless a caller requests it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

BEGAN = time.time_ns()
"""When this process may have begun to read. Sources are parsed once and kept: what has changed since may be new to
its stamp, and old to the reader."""


class Reads:
    """The files and folders that were read.

    Attributes:
        files: Paths of files, whether they exist or not.
        folders: Paths of folders whose names were searched.
        packages: Names of top-level modules that were searched for.
        installed: Whether it matters what else is installed.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.packages: set[str] = set()
        self.installed = False


_open: list[Reads] = []


@contextlib.contextmanager
def noted() -> Iterator[Reads]:
    """Records what is read in the block; blocks may be nested."""
    reads = Reads()
    _open.append(reads)
    try:
        yield reads
    finally:
        _open.remove(reads)


def note(*, file: object = None, folder: object = None, package: str | None = None, installed: bool = False) -> None:
    """Records that something has been read: a file, a folder, the name of a top-level module, or all plugins."""
    for reads in _open:
        if file is not None:
            reads.files.add(os.path.abspath(str(file)))
        if folder is not None:
            reads.folders.add(os.path.abspath(str(folder)))
        if package is not None:
            reads.packages.add(package)
        reads.installed |= installed


def once(answer: Callable[P, T]) -> Callable[P, T]:
    """Makes a function answer from memory, and note what it has read each time all the same.

    Args:
        answer: Takes what can be hashed, by position, and returns what is never changed. What it raises is not kept.
    """

    @functools.cache
    def kept(*args: P.args, **kwargs: P.kwargs) -> tuple[T, Reads]:
        with noted() as reads:
            return answer(*args, **kwargs), reads

    @functools.wraps(answer)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        found, reads = kept(*args, **kwargs)  # type: ignore[arg-type]  # the cache asks for Hashable
        _note_again(reads)
        return found

    return call


def _note_again(reads: Reads) -> None:
    for each in _open:
        each.files |= reads.files
        each.folders |= reads.folders
        each.packages |= reads.packages
        each.installed |= reads.installed
