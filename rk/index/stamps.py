"""Whether files and folders are what they were: by the numbers that the file system keeps, without reading them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rk.values import Plain

SETTLED = 100_000_000
"""Nanoseconds that a file must have rested before it was read. A clock of a file system ticks every 4 to 10 ms: a file
that was written twice within a tick has the same times."""
COARSE = 2_100_000_000
"""The same, where the file system counts whole seconds, or pairs of them."""

Stamp = Plain
"""Of a file, its numbers (None: there is none); of a folder, its numbers and the digest of the names in it."""


def stamp(path: str) -> list[int] | None:
    """Returns the times of change, the size and the number of the file `path`; None where there is none.

    The second time is that of the file's entry: unlike the first one, no program sets it back.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


def has_rested(stamped: list[int] | None, began: int) -> bool:
    """Whether a file with this stamp was surely not changed since `began`, nor just before in the same tick."""
    if stamped is None:
        return True
    newest = max(stamped[0], stamped[1])
    return newest + (COARSE if newest % 1_000_000_000 == 0 else SETTLED) < began


def digest(*texts: str) -> str:
    """Returns a short digest of texts; surrogates, which paths may have, too."""
    try:
        from _blake2 import blake2b  # `hashlib` loads OpenSSL, which takes longer than all that is digested here
    except ImportError:
        from hashlib import blake2b
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def names_in(folder: str, *, importable: bool = False) -> str | None:
    """Returns a digest of the names in a folder; None where there is no folder.

    Hidden files and byte code are passed over: they come and go.

    Args:
        folder: The folder.
        importable: Takes only what importing could find: modules, packages and distributions.
    """
    names = _names(folder, importable)
    return None if names is None else digest(*sorted(names))


def _names(folder: str, importable: bool) -> list[str] | None:
    try:
        names = os.listdir(folder)
    except (OSError, ValueError):
        return None
    return [name for name in names if _stays(name) and (not importable or _is_importable(name))]


_IMPORTABLE = (".py", ".pyc", ".so", ".pyd", ".dist-info", ".egg-info", ".egg", ".egg-link", ".zip")


def _stays(name: str) -> bool:
    return not name.startswith(".") and name != "__pycache__"


def _is_importable(name: str) -> bool:
    return name.endswith(_IMPORTABLE) or name.isidentifier()


class Stamps:
    """Stamps of files and of folders, as they are kept in an index.

    Args:
        files: Path -> stamp; None for what is not there.
        folders: Path -> the stamp (None: not known) and the digest of the names in it.
        importable: Of the folders, see `names_in`.
    """

    def __init__(self, files: dict[str, Stamp], folders: dict[str, Stamp], *, importable: bool = False) -> None:
        self.files = files
        self.folders = folders
        self._importable = importable
        self._found: dict[str, bool] = {}
        self.refreshed = False

    def fresh(self, files: Iterable[str] = (), folders: Iterable[str] = ()) -> bool:
        """Whether all of these are what they were. What was never stamped is not."""
        return all(self._file(path) for path in files) and all(self._folder(path) for path in folders)

    def all_fresh(self) -> bool:
        """Whether all that was stamped is what it was."""
        return self.fresh(self.files, self.folders)

    def _file(self, path: str) -> bool:
        if path not in self._found:
            self._found[path] = path in self.files and stamp(path) == self.files[path]
        return self._found[path]

    def _folder(self, path: str) -> bool:
        key = f"{path}/"
        if key not in self._found:
            self._found[key] = path in self.folders and self._same_names(path)
        return self._found[key]

    def _same_names(self, path: str) -> bool:
        stamped, names = self.folders[path]
        now = stamp(path)
        if stamped is not None and now == stamped:
            return True
        if names_in(path, importable=self._importable) != names:
            return False
        if stamped is None and now is not None:  # it was just being written to when it was read
            import time

            if has_rested(now, time.time_ns()):
                self.folders[path] = [now, names]
                self.refreshed = True
        return True

    def take(self, files: Iterable[str], folders: Iterable[str], began: int) -> bool:
        """Stamps what has been read since `began`; returns whether all of it rested meanwhile."""
        rested = True
        for path in files:
            now = stamp(path)
            self.files[path] = now
            self._found[path] = has_rested(now, began)
            rested &= self._found[path]
        for path in folders:
            now = stamp(path)
            settled = has_rested(now, began)
            rested &= settled or self._rests_within(path, began)
            self.folders[path] = [now if settled else None, names_in(path, importable=self._importable)]
            self._found[f"{path}/"] = True
        return rested

    def _rests_within(self, folder: str, began: int) -> bool:
        """Whether nothing that stays was put into a folder since `began`: byte code is written there at any time."""
        names = _names(folder, self._importable) or ()
        return all(has_rested(stamp(os.path.join(folder, name)), began) for name in names)
