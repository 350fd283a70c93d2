"""Safetensors files by their names and heads: which of a folder hold its weights, and whether they are whole."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rk.errors import UserError

ENDING = ".safetensors"
_INDEX = ".safetensors.index.json"


def weights_in(place: Path) -> list[Path]:
    """Returns the files of the weights in a folder without a run: ``model.safetensors``, or the only such file.

    Weights in several files have an index, as the Hugging Face hub writes it; it comes first.

    Args:
        place: A folder; of a file, the file.

    Raises:
        UserError: When several files could be meant, or one that the index names is not there.
    """
    if place.is_file():
        return [place]
    if (whole := place / "model.safetensors").is_file():
        return [whole]
    if indices := sorted(place.glob(f"*{_INDEX}")):
        return [indices[0], *_parts(indices[0])]
    found = sorted(place.glob(f"*{ENDING}"))
    if len(found) > 1:
        raise UserError(f"{place} has several files of weights", f"name one: {', '.join(p.name for p in found[:5])}")
    return found


def _parts(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        outside = [name for name in names if Path(name).name != name]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{index} cannot be read: it must be an index of safetensors files", "copy it again") from None
    missing = [name for name in names if name in outside or not (index.parent / name).is_file()]
    if missing or not names:
        raise UserError(f"{index} names files that are not beside it: {', '.join(missing[:3])}", "copy them again")
    return [index.parent / name for name in names]


def is_whole(file: Path) -> bool:
    """Whether a safetensors file has the length that its head gives."""
    try:
        with open(file, "rb") as content:
            length = int.from_bytes(content.read(8), "little")
            size = os.fstat(content.fileno()).st_size
            if not 2 <= length <= size - 8:
                return False
            head = json.loads(content.read(length))
        ends = [entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__"]
        return size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return False
