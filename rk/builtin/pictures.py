"""Pictures with Pillow: reading a user's own, and drawing a sheet of small ones with a caption each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rk.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

SIDE, CAPTION, GAP = 96, 18, 10
COLUMNS = 8
BOX = 4
"""Pillow's ``Resampling.BOX``, which averages the pixels that fall into one; named here, as Pillow is optional."""
INK, GOOD, BAD = "#1c2126", "#1c7a45", "#b3261e"


def open_picture(path: Path, hint: str) -> Image.Image:
    """Opens a picture in RGB; what is transparent is white paper.

    Raises:
        UserError: With `hint`, when the file is no picture; or when Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise UserError("reading a picture needs Pillow", 'pip install "recursion-kit[digits]"') from None
    try:
        picture = Image.open(path).convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(paper, picture).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: {error}", hint) from None


def levels(picture: Image.Image) -> Tensor:
    """Returns the picture's levels from 0 to 1: (height, width) of a grey one, (height, width, 3) of one in colour."""
    import numpy

    return torch.from_numpy(numpy.asarray(picture, dtype="float32").copy()) / 255


def ink(light: Tensor) -> Tensor:
    """Returns 0 for the ground and 1 for ink, whichever of them is dark: the border is ground.

    Args:
        light: (height, width), 0 for black to 1 for white.
    """
    border = torch.cat([light[0], light[-1], light[:, 0], light[:, -1]]).mean()
    return 1 - light if border > 0.5 else light


def draw_sheet(pictures: Tensor, captions: Sequence[str], right: Sequence[bool | None], out: Path) -> Path:
    """Draws pictures side by side.

    Args:
        pictures: (n, height, width) or (n, 1, height, width), 0 for the ground to 1 for ink; or, in colour, light from
            0 to 1 of (n, 3, height, width).
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
        colored = picture.ndim == 3 and len(picture) == 3
        light = picture.movedim(0, -1) if colored else 1 - picture.view(picture.shape[-2:])
        tile = Image.fromarray((255 * light.clamp(0, 1)).round().byte().cpu().numpy())
        sheet.paste(tile.resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, y))
        color = INK if is_right is None else GOOD if is_right else BAD
        pen.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=color)
        pen.text((x + SIDE / 2, y + SIDE + 2), caption, fill=color, font=font, anchor="ma")
    path = out if out.suffix in (".png", ".pdf") else out.with_name(out.name + ".png")
    sheet.save(path)
    return path
