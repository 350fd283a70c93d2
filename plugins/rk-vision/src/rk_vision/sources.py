"""Where data files come from: the folder that ``RK_DATA`` names, else a download with a checksum."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from rk import UserError


@dataclass(frozen=True)
class Source:
    """A published file.

    Attributes:
        folder: Its folder inside the data folder.
        url: Where it is published; the last part is its name.
        md5: Checksum of the file as published.
        content_md5: Checksum of what is inside a gzip file: a copy that was packed anew is as good. None: only the
            published file will do.
    """

    folder: str
    url: str
    md5: str
    content_md5: str | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def data_folder() -> Path:
    """Returns the folder in ``RK_DATA``, else the user's cache folder."""
    import pooch

    return Path(os.environ.get("RK_DATA") or pooch.os_cache("rk"))


def fetch(source: Source) -> Path:
    """Returns the path of the file, which is downloaded unless it is there.

    Raises:
        rk.UserError: When it cannot be had: no network, no space, another checksum.
    """
    import pooch

    path = data_folder() / source.folder / source.name
    if path.is_file():
        return path
    try:
        pooch.retrieve(source.url, f"md5:{source.md5}", fname=path.name, path=path.parent)
    except (OSError, ValueError) as error:  # those of requests are OSErrors
        reason = " ".join(str(error).split())[:200]
        hint = f"put {source.name} into {path.parent}, or set RK_DATA to the folder of data that has {source.folder}/"
        raise UserError(f"{source.url} cannot be downloaded: {reason}", hint) from None
    return path


def read_gzip(source: Source) -> bytes:
    """Returns what is inside a gzip file, its checksum verified.

    Raises:
        rk.UserError: When the file is damaged or another one.
    """
    path = fetch(source)
    packed = path.read_bytes()
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, str(error)) from None
    if _md5(packed) != source.md5 and _md5(content) != source.content_md5:
        raise damaged(path, "another checksum")
    return content


def verified(source: Source) -> Path:
    """Returns the path of a file whose checksum is the published one.

    Raises:
        rk.UserError: When the file is damaged or another one.
    """
    path = fetch(source)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "md5").hexdigest() != source.md5:
            raise damaged(path, "another checksum")
    return path


def damaged(path: Path, reason: str) -> UserError:
    """Returns the error of a file that is not what was published."""
    return UserError(f"{path} is not the published file: {reason}", "remove it: it is then downloaded")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
