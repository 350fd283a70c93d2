"""Gordon Royle's 49,151 sudokus with 17 givens, fewer than which none with one solution has."""

from __future__ import annotations

import hashlib

import numpy as np

from rk.files import content, damaged, data_folder, fetch
from rk.reading import unpacked

URL = "https://raw.githubusercontent.com/rikshot/rustdoku/5fa5444c886f8bcdcd96f8000e639bb4dc1ac1d4/sudoku17"
CHECKSUM = "a4370dcc617e56fdb88958f9fe8b015fbeb397caab68a75065427fafa2afc32f"
"""SHA-256 of the text: a sudoku a line, 0 where a cell is empty."""


def royle_puzzles() -> np.ndarray:
    """Returns the puzzles, (49151, 81) of uint8; a packed copy in the data folder will do.

    Raises:
        UserError: When the file cannot be had, or is another one.
    """
    packed = data_folder() / "sudoku17" / "sudoku17.txt.gz"
    if packed.is_file():
        path, text = packed, unpacked(content(packed), packed.name, 10_000_000)
    else:
        path = fetch("sudoku17/sudoku17.txt", URL, f"sha256:{CHECKSUM}")
        text = content(path)
    if hashlib.sha256(text).hexdigest() != CHECKSUM:
        raise damaged(path)
    return (np.frombuffer(text, dtype=np.uint8).reshape(-1, 82)[:, :81] - ord("0")).copy()
