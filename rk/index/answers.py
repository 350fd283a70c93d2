"""Answers that were read from sources and recipes, each kept with what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from rk.index.kept import Index, read, write
from rk.index.stamps import Stamp, Stamps
from rk.reads import BEGAN, Reads, noted
from rk.sources import find_source
from rk.values import Plain, PlainDict

T = TypeVar("T")
MISSING: Plain = object()


class Answers:
    """One file of an index: answers of one sort. As a context manager, it writes at the end what is new.

    Args:
        index: The index; without one, nothing is kept.
        name: The sort of answers.
        world: What all answers rest on that depend on what else is installed (`world_of`).
        alive: The keys of all answers that may still be needed; by default, whatever was kept.
        limit: Answers that are kept, the newest.
    """

    def __init__(
        self,
        index: Index | None,
        name: str,
        *,
        world: Callable[[], str] = str,
        alive: Collection[str] | None = None,
        limit: int = 100_000,
    ) -> None:
        self._index = index
        self._name = f"{name}.json"
        self._world = world
        self._current_world: str | None = None
        self._alive = alive
        self._limit = limit
        self._new: dict[str, tuple[Plain, Reads, str]] = {}
        self._stamps = Stamps({}, {})
        self._old: dict[str, list[Plain]] = {}
        self._packages: dict[str, str | None] = {}
        self._new_stamps = Stamps({}, {})
        self._changed = False
        if index is not None:
            try:
                self._open(read(index.folder / self._name) or {}, index)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError):  # of another form
                self._stamps, self._old = Stamps({}, {}), {}

    def _open(self, kept: PlainDict, index: Index) -> None:
        if kept.get("code") != index.code:
            return
        if not all(isinstance(kept[key], dict) for key in ("files", "folders", "packages", "answers")):
            raise TypeError
        self._stamps = Stamps(kept["files"], kept["folders"])
        self._files, self._folders = list(kept["files"]), list(kept["folders"])
        self._packages = kept["packages"]
        self._old = kept["answers"]
        if kept["paths"] != index.paths:  # something was installed or removed: does each name lead where it did?
            moved = {name for name, place in self._packages.items() if _place(name) != place}
            self._old = {key: entry for key, entry in self._old.items() if not moved.intersection(entry[3])}
            self._changed = True

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._index is not None and (self._changed or self._new):
            self._save(self._index)

    def get(self, key: str) -> Plain:
        """Returns the answer that was kept for `key`, if nothing has changed since; else `MISSING`."""
        if key in self._new:
            return self._new[key][0]
        entry = self._old.get(key)
        return entry[0] if entry is not None and self._is_fresh(entry) else MISSING

    def answer(self, key: str, compute: Callable[[], T], *, good: Callable[[T], bool] | None = None) -> T:
        """Returns the answer for `key`, which is computed where it is not known.

        Args:
            key: What is asked.
            compute: Reads it. What it raises is raised, and nothing is kept.
            good: Whether an answer may be kept.
        """
        found: T = self.get(key)
        if found is not MISSING:
            return found
        with noted() as reads:
            value = compute()
        wanted = self._index is not None and (good is None or good(value))
        if wanted and self._new_stamps.take(reads.files, reads.folders, BEGAN):
            self._new[key] = value, reads, self._asked_world() if reads.installed else ""
        return value

    def _asked_world(self) -> str:
        if self._current_world is None:
            self._current_world = self._world()
        return self._current_world

    def _is_fresh(self, entry: list[Plain]) -> bool:
        _, files, folders, _, world = entry
        return (not world or world == self._asked_world()) and self._stamps.fresh(
            (self._files[i] for i in files), (self._folders[i] for i in folders)
        )

    def _save(self, index: Index) -> None:
        """Writes the old answers that still hold, and the new ones."""
        files, folders = _Table(), _Table()
        packages: dict[str, str | None] = {}
        answers = {}
        for key in list(self._old)[-self._limit :]:
            entry = self._old[key]
            if key in self._new or (self._alive is not None and key not in self._alive) or not self._is_fresh(entry):
                continue
            value, of_files, of_folders, of_packages, world = entry
            paths = [files.add(self._files[i], self._stamps.files) for i in of_files]
            places = [folders.add(self._folders[i], self._stamps.folders) for i in of_folders]
            packages |= {name: self._packages[name] for name in of_packages}
            answers[key] = [value, paths, places, of_packages, world]
        for key, (value, reads, world) in self._new.items():
            paths = [files.add(path, self._new_stamps.files) for path in sorted(reads.files)]
            places = [folders.add(path, self._new_stamps.folders) for path in sorted(reads.folders)]
            packages |= {name: _place(name) for name in reads.packages}
            answers[key] = [value, paths, places, sorted(reads.packages), world]
        kept = {"files": files.stamps, "folders": folders.stamps, "packages": packages, "answers": answers}
        write(index.folder / self._name, {"code": index.code, "paths": index.paths, **kept})


class _Table:
    """Paths, each with a number and its stamp."""

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp] = {}
        self._numbers: dict[str, int] = {}

    def add(self, path: str, stamps: dict[str, Stamp]) -> int:
        if path not in self._numbers:
            self._numbers[path] = len(self._numbers)
            self.stamps[path] = stamps[path]
        elif self.stamps[path] != stamps[path]:  # it has changed between two answers: neither holds
            self.stamps[path] = [0, 0, 0, 0]
        return self._numbers[path]


def _place(package: str) -> str | None:
    """Returns where the top-level module `package` is found."""
    found = find_source(package)
    return None if found is None else str(found)
