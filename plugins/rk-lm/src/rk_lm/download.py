"""Files from their public homes, checked, in the data folder."""

from __future__ import annotations

from pathlib import Path

import pooch

from rk import UserError
from rk_lm.folders import data_folder


def fetch(name: str, url: str, sha256: str) -> Path:
    """Returns the file `name` of the data folder; downloads it if it is not there, and checks it in any case.

    Args:
        name: Path in the data folder.
        url: Its public home.
        sha256: What it has to be.

    Raises:
        rk.UserError: When it is not there and cannot be had, or is another file.
    """
    path = data_folder() / name
    if path.is_file():
        if pooch.file_hash(str(path)) != sha256:
            raise UserError(f"{path} is not the file that it should be", "remove it, and it is downloaded again")
        return path
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"{name} cannot be downloaded: {reason}", f"put it to {path}, or let RK_DATA name its folder"
        ) from None
