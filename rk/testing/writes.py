"""Watching which files a piece of code writes."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_watchers: list[tuple[int, list[Path]]] = []
_hooked = False
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@contextlib.contextmanager
def watched_writes() -> Iterator[list[Path]]:
    """Collects the files and folders that this thread makes, changes or deletes, as absolute paths, while it lasts.

    They are seen by Python's audit events; files that C code opens by itself are not.
    """
    global _hooked
    if not _hooked:
        sys.addaudithook(_audit)  # it cannot be taken away again: without watchers it does nothing
        _hooked = True
    written: list[Path] = []
    watcher = (threading.get_ident(), written)
    _watchers.append(watcher)
    try:
        yield written
    finally:
        _watchers.remove(watcher)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watchers:
        return
    for path in _written(event, arguments):
        if isinstance(path, str | bytes | os.PathLike):
            for thread, written in _watchers:
                if thread == threading.get_ident():
                    written.append(Path(os.path.abspath(os.fsdecode(path))))


def _written(event: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the paths that the event writes."""
    match event, arguments:
        case "open", (path, mode, flags):
            writes = any(c in mode for c in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITING)
            return (path,) if writes else ()
        case (("os.mkdir" | "os.remove" | "os.rmdir"), (path, *_, folder)):
            return (path,) if folder == -1 else ()  # else relative to a folder whose own removal was reported before
        case "os.rename" | "os.link", (_, target, _, folder):
            return (target,) if folder == -1 else ()
        case (("os.truncate" | "shutil.rmtree"), (path, *_)):
            return (path,)
        case (("os.symlink" | "shutil.move"), (_, target, *_)):
            return (target,)
    return ()
