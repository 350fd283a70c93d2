"""The lock on a run: only one process trains it. The system releases the lock when that process ends, however it ends.

The lock is a POSIX record lock on ``.lock`` in the run folder. It is not inherited by forked workers, works on network
file systems, and leaves nothing behind that could be stale. Two of its rules shape this module: a process never
conflicts with itself, so locks of this process are kept in a set; and closing any handle of the file releases the lock,
so the file is never opened by a process that holds it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path

from rk.values import PlainDict

try:
    import fcntl
except ImportError:  # Windows: the process named in run.json is looked up instead
    fcntl = None  # type: ignore[assignment]  # the checker looks at this file on a system that has it

_HELD: dict[str, int] = {}
"""Lock files that this process has locked -> its process id (a forked child inherits the dict, but no lock)."""
_TAKEN = {errno.EACCES, errno.EAGAIN}
_ATTEMPTS = 5
"""`is_locked` of another process holds the lock for an instant."""


class Unsupported(Exception):
    """The file system has no locks."""


def acquire(file: Path) -> int | None:
    """Locks `file` for this process.

    Returns:
        A handle for `release`; None when another process, or another training in this one, holds the lock.

    Raises:
        Unsupported: When the file system has no locks, or the file cannot be made.
    """
    key = os.path.realpath(file)
    if _HELD.get(key) == os.getpid():
        return None
    if fcntl is None:
        raise Unsupported
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise Unsupported from error
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _TAKEN:
                os.close(handle)
                raise Unsupported from error
            if attempt < _ATTEMPTS - 1:
                time.sleep(0.02)
        else:
            _HELD[key] = os.getpid()
            return handle
    os.close(handle)
    return None


def release(file: Path, handle: int) -> None:
    """Gives the lock back."""
    _HELD.pop(os.path.realpath(file), None)
    with contextlib.suppress(OSError):
        os.close(handle)


def is_locked(file: Path) -> bool:
    """Whether a living process holds the lock.

    Raises:
        Unsupported: When the file system has no locks.
    """
    if _HELD.get(os.path.realpath(file)) == os.getpid():
        return True
    if fcntl is None:
        raise Unsupported
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Unsupported from error
    try:
        fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a shared lock needs no right to write
    except OSError as error:
        if error.errno in _TAKEN:
            return True
        raise Unsupported from error
    finally:
        os.close(handle)
    return False


def _host() -> str:
    import socket  # takes longer to import than all else here: completion and checks ask for no lock

    return socket.gethostname()


def this_process() -> PlainDict:
    """Returns what `run.json` records of the process that trains a run."""
    return {"host": _host(), "pid": os.getpid()}


def seems_alive(owner: object) -> bool:
    """Whether the process that `this_process` described is running, as far as can be known without locks.

    One of another host cannot be asked: it counts as alive.
    """
    if not isinstance(owner, dict) or not isinstance(owner.get("pid"), int):
        return False
    if owner.get("host") != _host():
        return True
    if owner["pid"] == os.getpid():
        return False  # an earlier process had this number: `_HELD` knows the runs of this one
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
