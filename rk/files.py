"""The folders of data sets and of other costly files on this machine, and downloads into them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from rk.errors import UserError

__all__ = ["cache_folder", "content", "damaged", "data_folder", "fetch", "is_intact"]

CACHE_VARIABLE = "RK_CACHE"
DATA_VARIABLE = "RK_DATA"


_noted: ContextVar[dict[str, Path] | None] = ContextVar("noted", default=None)


@contextlib.contextmanager
def noting() -> Iterator[dict[str, Path]]:
    """Yields a dict that gets each file which `fetch` returns within the block, by its name."""
    found: dict[str, Path] = {}
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def cache_folder() -> Path:
    """Returns where downloads and conversions are kept: `RK_CACHE`, else ``rk`` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE_VARIABLE) or Path(home) / "rk")


def data_folder() -> Path:
    """Returns the folder of data sets: `RK_DATA`, else ``data`` in `cache_folder`."""
    return Path(os.environ.get(DATA_VARIABLE) or cache_folder() / "data")


def fetch(name: str, url: str, checksum: str | None, *, verify: bool = False) -> Path:
    """Returns the file `name` of the data folder, downloaded unless it is there.

    What is downloaded is checked.

    Args:
        name: Path in the data folder, ``mnist/t10k-images-idx3-ubyte.gz``.
        url: Its public home.
        checksum: Of the published file, ``sha256:...`` or ``md5:...``. None: of an archive that is packed for each
            download; then the caller checks its content.
        verify: Checks a file that was there, too; else it is taken as it is.

    Raises:
        UserError: When it is another file, or cannot be had (no network, no space, another file at that address); with
            what to do.
    """
    path = data_folder() / name
    if (noted := _noted.get()) is not None:
        noted[name] = path
    if path.is_file():
        if verify and checksum is not None and not is_intact(path, checksum):
            raise damaged(path)
        return path
    try:
        import pooch
    except ImportError:
        raise UserError(f"downloading {name} needs pooch", "pip install pooch") from None
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, checksum, fname=path.name, path=path.parent)
    except (OSError, ValueError) as error:  # those of requests are OSErrors
        reason = " ".join(str(error).split())[:200]
        hint = f"put it to {path}, or let {DATA_VARIABLE} name the folder that has {name}"
        raise UserError(f"{url} cannot be downloaded: {reason}", hint) from None
    return path


def is_intact(path: Path, checksum: str) -> bool:
    """Whether the file has the checksum, ``sha256:...`` or ``md5:...``. Raises `UserError` when it cannot be read."""
    import hashlib  # it loads OpenSSL: only downloads need it

    algorithm, _, expected = checksum.partition(":")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest() == expected
    except OSError as error:
        raise _unreadable(path, error) from None


def content(path: Path) -> bytes:
    """Returns the bytes of a file in the data folder. Raises `UserError` when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be read: {error.strerror}", f"{DATA_VARIABLE} names the folder of data sets")


def damaged(path: Path, reason: str = "another checksum") -> UserError:
    """Returns the error of a file in the data folder that is not what was published."""
    return UserError(f"{path} is not the published file: {reason}", "remove it: it is then downloaded")
