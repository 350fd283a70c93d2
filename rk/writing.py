"""Files that are replaced whole: a reader, or a machine that dies, sees the old content or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

from rk.errors import RunFailed

_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR}
"""What file systems (CIFS, shared folders of virtual machines) answer that cannot sync a folder."""
_BESIDE = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def write_atomic(path: Path, *content: str | bytes | memoryview) -> None:
    """Replaces `path` by `content`, which the disk has before the name points to it.

    The content is first written to a new file with a random name, which no link can be waiting at.

    Args:
        path: The file.
        content: Its pieces, one after the other: text, written as UTF-8, or bytes.

    Raises:
        RunFailed: When the disk is full or the folder cannot be written; an old file is untouched.
    """
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.writelines(piece.encode("utf-8") if isinstance(piece, str) else piece for piece in content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise RunFailed(f"cannot write {path}: {error.strerror}") from None


def remove_half_written(folder: Path) -> None:
    """Removes what a kill has left of `write_atomic`; nobody may be writing into the folder."""
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
