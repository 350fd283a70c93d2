"""The published files of image data: where they are, and whether a copy is the published one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from rk import UserError, files
from rk.reading import unpacked

MOST_BYTES = 100_000_000
"""More than any published file unpacks to: 47 MB are the training images of MNIST."""


@dataclass(frozen=True)
class Source:
    """A published file.

    Attributes:
        folder: Its folder inside the data folder.
        url: Where it is published; the last part is its name.
        md5: Checksum of the file as published.
        content_md5: Checksum of the content of a gzip file: a repacked copy is accepted. None: only the
            published file will do.
    """

    folder: str
    url: str
    md5: str
    content_md5: str | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def fetch(self) -> Path:
        """Returns the path of the file, which is downloaded if missing. Raises `rk.UserError`."""
        return files.fetch(f"{self.folder}/{self.name}", self.url, f"md5:{self.md5}")


def read_gzip(source: Source) -> bytes:
    """Returns what is inside a gzip file, its checksum verified.

    Raises:
        rk.UserError: When the file is damaged or another one.
    """
    path = source.fetch()
    try:
        content = unpacked(files.content(path), path.name, MOST_BYTES)
    except UserError as error:
        raise files.damaged(path, error.message) from None
    if not files.is_intact(path, f"md5:{source.md5}") and _md5(content) != source.content_md5:
        raise files.damaged(path)
    return content


def verified(source: Source) -> Path:
    """Returns the path of a file whose checksum is the published one.

    Raises:
        rk.UserError: When the file is damaged or another one.
    """
    path = source.fetch()
    if not files.is_intact(path, f"md5:{source.md5}"):
        raise files.damaged(path)
    return path


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
