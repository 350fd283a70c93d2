"""Sheets of small images, each with a caption, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from rk.errors import UserError
from rk.images import pillow

if TYPE_CHECKING:
    from types import ModuleType

    from PIL import Image, ImageFont

__all__ = ["draw_sheet", "grid"]

SIDE, CAPTION, GAP = 96, 18, 10
"""Pixels of an image's longer side, of its caption's height, and between neighbours."""
WIDEST = 2 * SIDE
"""Pixels of the widest caption: a longer one is cut short."""
COLUMNS = 8
"""Most images in a row."""
ENDINGS = (".png", ".pdf")
INK, GOOD, BAD = "#1c2126", "#1c7a45", "#b3261e"


def draw_sheet(
    images: Float[Tensor, "n *shape"], captions: Sequence[str], right: Sequence[bool | None], out: Path
) -> Path:
    """Draws images side by side, in rows of about the same length.

    Args:
        images: (n, height, width) or (n, 1, height, width), 0 for the ground to 1 for ink; or, in colour, light from
            0 to 1 of (n, 3, height, width).
        captions: What is written below each.
        right: Whether a caption is right (green), wrong (red), or neither is known.
        out: The file; PNG where it has no ending of an image.

    Returns:
        The file.

    Raises:
        UserError: When the ending is that of another kind of file, when the file cannot be written, or when Pillow is
            not installed.
    """
    pil = pillow()
    from PIL import ImageDraw, ImageFont

    path = _file(out)
    font = ImageFont.load_default(13)
    captions = [_fitted(caption, font) for caption in captions]
    width = max([SIDE, *(round(font.getlength(caption)) for caption in captions)])
    rows, columns = grid(len(captions))
    size = (columns * (width + GAP) + GAP, rows * (SIDE + CAPTION + GAP) + GAP)
    sheet = pil.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for i, (image, caption, is_right) in enumerate(zip(images, captions, right, strict=True)):
        x, y = GAP + i % columns * (width + GAP), GAP + i // columns * (SIDE + CAPTION + GAP)
        tile = _tile(image, pil)
        left, top = x + (width - tile.width) // 2, y + (SIDE - tile.height) // 2
        sheet.paste(tile, (left, top))
        color = INK if is_right is None else GOOD if is_right else BAD
        pen.rectangle((left, top, left + tile.width - 1, top + tile.height - 1), outline=color)
        pen.text((x + width / 2, y + SIDE + 2), caption, fill=color, font=font, anchor="ma")
    try:
        sheet.save(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def grid(count: int, most: int = COLUMNS) -> tuple[int, int]:
    """Returns rows and columns for `count` images, at most `most` in a row, so that no row has only a leftover.

    Args:
        count: The number of images.
        most: Most of them in a row.
    """
    rows = -(-count // most)
    return rows, -(-count // max(rows, 1))


def _file(out: Path) -> Path:
    ending = out.suffix.lower()
    if ending == ".svg":
        raise UserError("images are drawn as .png or .pdf", f"write {out.with_suffix('.png')}")
    return out if ending in ENDINGS else out.with_name(out.name + ".png")


def _tile(image: Tensor, pil: ModuleType) -> Image.Image:
    """Returns the image scaled so that its longer side has `SIDE` pixels."""
    colored = image.ndim == 3 and len(image) == 3
    light = image.movedim(0, -1) if colored else 1 - image.reshape(image.shape[-2:])
    tile = pil.fromarray((255 * light.clamp(0, 1)).round().byte().cpu().numpy())
    scale = SIDE / max(tile.size)
    scaled: Image.Image = tile.resize(tuple(max(1, round(side * scale)) for side in tile.size), pil.Resampling.NEAREST)
    return scaled


def _fitted(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Returns the caption, its first words cut short where it is too wide: what follows two spaces is kept."""
    head, gap, tail = caption.rpartition("  ")
    if not gap:
        head, tail = caption, ""
    full = len(head)
    while head and font.getlength(f"{head}{'…' if len(head) < full else ''}{gap}{tail}") > WIDEST:
        head = head[:-1]
    return f"{head}{'…' if len(head) < full else ''}{gap}{tail}"
