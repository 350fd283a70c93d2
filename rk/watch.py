"""Watches plugins while they are loaded: which files and variables they read, and whether they print anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

from rk.isolation import Isolation, flush, told_to
from rk.reads import Reads

_STDOUT, _STDERR = 1, 2
_active: list[Watch] = []
_hooked: list[bool] = []


class Watch(Isolation):
    """An isolation that records what the code in it reads and prints.

    Its output goes to standard error, as ever, when `spoke` is called and at the end.

    Attributes:
        reads: The files that were opened, and the folders that were listed.
        variables: The environment variables that were read.
        all_variables: Whether code has looked at all of them.

    Args:
        advice: What the user can do about code that takes too long.

    Raises:
        OSError: When the code's output cannot be captured; the code has not started then.
    """

    def __init__(self, advice: str = "") -> None:
        super().__init__(advice)
        self.reads = Reads()
        self.variables: set[str] = set()
        self.all_variables = False
        if sys.stderr is None or sys.stderr.fileno() != _STDERR:  # `io.UnsupportedOperation` is an OSError
            raise OSError("standard error is somewhere else")
        self._said = _scratch()
        self._real = os.dup(_STDERR)

    def __enter__(self) -> Watch:
        super().__enter__()
        told_to.append(self._real)  # messages about Ctrl-C and a long wait are shown at once
        for number in (_STDOUT, _STDERR):
            os.dup2(self._said, number)
        if not _hooked:  # a hook stays as long as the process: it looks for a watch first
            sys.addaudithook(_audit)
            _hooked.append(True)
        _active.append(self)
        self._getters = _getters()
        _set_getters(*_noting(*self._getters))
        return self

    def __exit__(self, *exc: object) -> None:
        _set_getters(*self._getters)
        _active.remove(self)
        told_to.remove(self._real)
        self.spoke()
        os.dup2(self._real, _STDERR)
        os.close(self._said)
        super().__exit__(*exc)
        os.close(self._real)

    def spoke(self) -> bool:
        """Whether anything was printed since the last call; passes it on to standard error."""
        flush(sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        size = os.lseek(self._said, 0, os.SEEK_END)
        os.lseek(self._said, 0, os.SEEK_SET)
        while piece := os.read(self._said, 1 << 16):
            try:
                os.write(self._real, piece)
            except OSError:
                break
        os.ftruncate(self._said, 0)
        os.lseek(self._said, 0, os.SEEK_SET)
        return size > 0

    def leave(self, code: int) -> None:
        self.spoke()
        super().leave(code)

    def saw(self, event: str, path: object) -> None:
        """Records the file or folder of an audit event."""
        if not isinstance(path, str | bytes | os.PathLike):
            return
        whole = os.path.abspath(os.fsdecode(path))
        if event == "open":
            self.reads.files.add(whole)
        else:
            self.reads.folders.add(whole)


def _scratch() -> int:
    """Opens a file that has no name."""
    make = getattr(os, "memfd_create", None)  # of Linux alone
    if make is not None:
        number: int = make("rk")
        return number
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _audit(event: str, args: tuple[object, ...]) -> None:
    if _active and event in ("open", "os.listdir", "os.scandir"):
        try:
            _active[-1].saw(event, args[0])
        except Exception:  # the open() that is watched raises the error itself
            return


_Get = Callable[["os._Environ[str]", str], str]
_Iterate = Callable[["os._Environ[str]"], Iterator[str]]


def _getters() -> tuple[_Get, _Iterate]:
    """Returns the methods by which `os.environ` is read."""
    return os._Environ.__getitem__, os._Environ.__iter__


def _set_getters(get: _Get, iterate: _Iterate) -> None:
    for name, method in (("__getitem__", get), ("__iter__", iterate)):
        setattr(os._Environ, name, method)


def _noting(get: _Get, iterate: _Iterate) -> tuple[_Get, _Iterate]:
    """Returns the methods of `os.environ` that note what is read."""

    def getitem(environ: os._Environ[str], name: str) -> str:
        if _active and isinstance(name, str):
            _active[-1].variables.add(name)
        return get(environ, name)

    def iterator(environ: os._Environ[str]) -> Iterator[str]:
        if _active:
            _active[-1].all_variables = True
        return iterate(environ)

    return getitem, iterator
