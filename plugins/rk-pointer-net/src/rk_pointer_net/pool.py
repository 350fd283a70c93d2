"""Point sets that are solved once and kept as a file, for tasks whose answers take longer than a training step."""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk import UserError

Pool = tuple[Float[Tensor, "sets n 2"], Int[Tensor, "sets n"]]
"""Points, and their answers as point numbers from 1."""


def kept(key: Mapping[str, Any], make: Callable[[], Pool]) -> Pool:
    """Returns what `make` does, from a file where there is one.

    The file is in ``RK_CACHE``, by default ``~/.cache/rk``. Its name is a hash of the key. It gets there whole or not
    at all, so that processes may ask at the same time; one that is damaged (a zip archive has checksums) is made again.

    Args:
        key: Everything that the sets depend on, as plain values.
        make: Draws and solves them.

    Raises:
        rk.UserError: When the folder cannot be written.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / f"pool-{digest}.npz"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)  # before the work, which may be long
        pool = _read(path)
        if pool is None:
            pool = make()
            _write(path, pool)
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror or error}", hint="RK_CACHE names another folder for solved sets"
        ) from None
    return pool


def cache_folder() -> Path:
    """Returns where solved sets are kept."""
    return Path(os.environ.get("RK_CACHE") or Path.home() / ".cache" / "rk")


def _read(path: Path) -> Pool | None:
    try:
        with np.load(path) as file:
            return torch.from_numpy(file["points"]), torch.from_numpy(file["answers"])
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None


def _write(path: Path, pool: Pool) -> None:
    points, answers = pool
    content = io.BytesIO()
    np.savez(content, points=points.numpy(), answers=answers.numpy())
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        Path(beside).unlink(missing_ok=True)
        raise
