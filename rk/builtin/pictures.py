"""A sheet of small grey pictures with a caption each, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

SIDE, CAPTION, GAP = 96, 18, 10
COLUMNS = 8
INK, GOOD, BAD = "#1c2126", "#1c7a45", "#b3261e"


def draw_sheet(pictures: Tensor, captions: Sequence[str], right: Sequence[bool | None], out: Path) -> Path:
    """Draws pictures side by side.

    Args:
        pictures: (n, height, width), 0 for the ground to 1 for ink.
        captions: What is written below each.
        right: Whether a caption is right (green), wrong (red), or neither is known.
        out: The file; PNG where it has no ending of a picture.

    Returns:
        The file.
    """
    from PIL import Image, ImageDraw, ImageFont

    columns = min(COLUMNS, len(captions))
    rows = -(-len(captions) // columns)
    size = (columns * (SIDE + GAP) + GAP, rows * (SIDE + CAPTION + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, (picture, caption, is_right) in enumerate(zip(pictures, captions, right, strict=True)):
        x, y = GAP + i % columns * (SIDE + GAP), GAP + i // columns * (SIDE + CAPTION + GAP)
        grey = (255 * (1 - picture.clamp(0, 1))).round().byte().cpu().numpy()
        sheet.paste(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, y))
        color = INK if is_right is None else GOOD if is_right else BAD
        pen.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=color)
        pen.text((x + SIDE / 2, y + SIDE + 2), caption, fill=color, font=font, anchor="ma")
    path = out if out.suffix in (".png", ".pdf") else out.with_name(out.name + ".png")
    sheet.save(path)
    return path
