"""Files that `-o` names: their endings are checked first, their folders are made last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rk.errors import UserError


def check_ending(path: Path, endings: Sequence[str], hint: str | None = None, verb: str = "write") -> None:
    """Raises `UserError` where the ending of `path` is not one of `endings`."""
    if path.suffix.lower() not in endings:
        raise UserError(f"cannot {verb} {path}", hint or f"use one of the endings: {', '.join(endings)}")


def make_parents(path: Path) -> None:
    """Makes the folder in which `path` is to be written. Raises `UserError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "choose another place with -o") from None
