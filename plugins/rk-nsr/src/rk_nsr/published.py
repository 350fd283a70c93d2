"""Published text files: fetched by checksum, or found in the data folder, packed with gzip or not."""

from __future__ import annotations

import hashlib

from rk.files import damaged, data_folder, fetch, is_intact
from rk.reading import read_bytes, read_text


def read_published(name: str, url: str, sha256: str) -> list[str]:
    """Returns the lines of a published file.

    Args:
        name: Its path in the data folder; ``<name>.gz`` will do.
        url: Its public home.
        sha256: Of its content.

    Raises:
        UserError: When it cannot be had, or is another file.
    """
    packed = data_folder() / f"{name}.gz"
    if packed.is_file():
        if hashlib.sha256(read_bytes(packed)).hexdigest() != sha256:
            raise damaged(packed)
        return read_text(packed).splitlines()
    path = fetch(name, url, f"sha256:{sha256}")
    if not is_intact(path, f"sha256:{sha256}"):
        raise damaged(path)
    return read_text(path).splitlines()
