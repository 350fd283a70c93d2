"""Files that are replaced whole: a reader, or a machine that dies, sees the old content or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rk.errors import RunFailed

__all__ = ["Replacement", "write_atomic", "write_csv"]

_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}
"""Errors of file systems that cannot sync a folder (CIFS, shared folders of virtual machines)."""
_BESIDE = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


class Replacement:
    """A file that takes the place of another one when it is whole: until `keep`, the old one is untouched.

    It is written as a new file beside it, with a random name, which no link can be waiting at.

    Args:
        path: The file that is to be replaced, or made.

    Raises:
        RunFailed: When the folder cannot be written; `write` and `keep` raise it, too, when the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = path.with_name(f".{path.name[:100]}.{os.urandom(4).hex()}.tmp")
        with self._failing():
            self._file = open(self._beside, "xb")  # noqa: SIM115  it is open until `keep` or `drop`

    def write(self, *content: str | bytes | memoryview) -> None:
        """Adds pieces: text, written as UTF-8, or bytes."""
        with self._failing():
            self._file.writelines(piece.encode("utf-8") if isinstance(piece, str) else piece for piece in content)

    def keep(self) -> None:
        """Replaces the file, once the disk has the content."""
        with self._failing():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._beside, self.path)

    def drop(self) -> None:
        """Removes what was written. The file stays as it was."""
        with contextlib.suppress(OSError, AttributeError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._beside.unlink()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.drop()
            raise RunFailed(f"cannot write {self.path}: {error.strerror}") from None


def write_atomic(path: Path, *content: str | bytes | memoryview) -> None:
    """Replaces `path` by `content`, which the disk has before the name points to it.

    Args:
        path: The file.
        content: Its pieces, one after the other: text, written as UTF-8, or bytes.

    Raises:
        RunFailed: When the disk is full or the folder cannot be written; an old file is untouched.
    """
    new = Replacement(path)
    try:
        new.write(*content)
        new.keep()
    except BaseException:
        new.drop()
        raise


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]], digits: int | None = None) -> None:
    """Replaces `path` by a table: commas between the cells, UTF-8, lines that end in CR LF as RFC 4180 has them.

    Args:
        path: The file.
        head: The names of the columns.
        rows: Cells, line by line; None leaves a cell empty.
        digits: Significant digits of floats; None writes each so that the same number is read back.

    Raises:
        RunFailed: When the disk is full or the folder cannot be written; an old file is untouched.
    """
    import csv  # only tables need it: `rk --help` does not
    import io

    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(head)
    lines.writerows([_cell(value, digits) for value in row] for row in rows)
    write_atomic(path, text.getvalue().encode("utf-8", "backslashreplace"))


def _cell(value: object, digits: int | None) -> Any:
    return f"{value:.{digits}g}" if isinstance(value, float) and digits is not None else value


def remove_half_written(folder: Path) -> None:
    """Removes what a kill has left of `write_atomic`; no process may be writing into the folder."""
    for path in folder.glob(".*.tmp"):
        if _BESIDE.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable, where the file system can."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)
