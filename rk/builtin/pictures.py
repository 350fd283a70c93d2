"""The old place of `rk.images` and `rk.sheets`: the names remain for plugins that import them from here."""

from __future__ import annotations

from rk.images import BOX, ink, levels
from rk.images import open_image as open_picture
from rk.sheets import BAD, CAPTION, COLUMNS, GAP, GOOD, INK, SIDE, draw_sheet

__all__ = [
    "BAD",
    "BOX",
    "CAPTION",
    "COLUMNS",
    "GAP",
    "GOOD",
    "INK",
    "SIDE",
    "draw_sheet",
    "ink",
    "levels",
    "open_picture",
]
