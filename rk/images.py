"""Images with Pillow: one reader for all the files that users give, with one rule for each kind of pixel.

Pillow is optional, and imported on first use.
"""

from __future__ import annotations

import contextlib
import logging
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rk.errors import UserError

if TYPE_CHECKING:
    from types import ModuleType

    from PIL import Image

__all__ = [
    "ACCEPTED",
    "ENDINGS",
    "FORMATS",
    "MAX_PIXELS",
    "image_steps",
    "ink",
    "levels",
    "open_image",
    "pillow",
    "read_image",
    "read_mask",
]

MAX_PIXELS = 2**26
"""Most pixels of an image, 8192 x 8192. Reading so many takes up to 800 MB."""
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "JPEG2000", "AVIF", "PPM", "TGA", "QOI")
"""Pillow's names of the formats that are read. None of them starts another program, as EPS does."""
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
"""Endings, in lower case, by which the images in a folder are found."""
ACCEPTED = "give an image: PNG, JPEG, BMP, GIF, WebP or TIFF"
MASKS = "a mask is a PNG or TIFF whose pixels are the numbers or colours of classes"
BOX = 4
"""Pillow's ``Resampling.BOX``, which averages the pixels that fall into one."""
ORIENTATION = 0x0112
"""The tag of the orientation, from 1 to 8; from 5 on, an image is stored on its side."""
_QUIET = logging.NullHandler()
_CEILINGS = {"F": (1.0, "floats", "1")} | dict.fromkeys(
    ("I", "I;16", "I;16L", "I;16B", "I;16N"), (65535.0, "integers", "65535")
)
"""Modes whose pixels are not bytes: their white, and how a message names it."""


def read_image(
    path: Path,
    channels: Literal[1, 3],
    size: tuple[int, int] | None = None,
    *,
    longest: int | None = None,
    hint: str = ACCEPTED,
) -> Float[Tensor, "channels height width"]:
    """Reads an image as floats from 0, black, to 1, white.

    - Grey, colour, palette, CMYK and 1-bit images of 8 bits are divided by 255.
    - Grey images of 16 bits are divided by 65535. So are 32-bit integers, which must be within 0 to 65535.
    - Floats must be within 0 to 1, and are kept.
    - What is transparent is white.
    - The EXIF orientation is applied: an image is upright.
    - Of an animation or of several pages, the first one counts.
    - An image has at most `MAX_PIXELS` pixels: a file of a few kilobytes can otherwise take gigabytes of memory.

    Args:
        path: The file.
        channels: 1 for grey, 3 for colour. A grey image in colour has three equal channels.
        size: Height and width to which it is scaled, whatever its shape; None: its own.
        longest: Makes an image smaller whose longer side has more pixels than this, and keeps its shape.
        hint: What to give instead, where the file is not an image.

    Returns:
        A tensor of shape (channels, height, width).

    Raises:
        UserError: When the file cannot be read as an image, is too large, or has pixels without a rule; or when Pillow
            is not installed.
    """
    image = _decoded(path, hint)
    if channels == 1 and image.mode == "RGB":
        image = image.convert("L")
    if longest is not None and max(image.size) > longest:
        image.thumbnail((longest, longest))
    if size is not None:
        image = image.resize(size[::-1], resample=BOX)
    if image.mode == "F":
        return _array(image).clamp(0, 1).repeat(channels, 1, 1)
    values = levels(image)
    return values.movedim(-1, 0) if values.ndim == 3 else values.unsqueeze(0)


def open_image(path: Path, hint: str = ACCEPTED) -> Image.Image:
    """Opens an image as Pillow's, in RGB with 8 bits a channel, upright; what is transparent is white.

    Args:
        path: The file.
        hint: What to give instead, where the file is not an image.

    Returns:
        The decoded image. `read_image` loses less of images with more than 8 bits.

    Raises:
        UserError: As `read_image`.
    """
    image = _decoded(path, hint)
    if image.mode != "F":
        return image
    from PIL import Image

    return Image.fromarray((255 * _array(image)).round().byte().numpy()).convert("RGB")


def read_mask(path: Path, image: Path | None = None) -> Int[Tensor, "height width *color"]:
    """Reads a mask: an image whose pixels are numbers or colours of classes, and are not to be mixed or scaled.

    A pixel is its place in the palette of an image that has one, the value of a grey one (0 or 255 of one bit, up to
    65535 of 16 bits), or the colour. The EXIF orientation is applied.

    Args:
        path: The file.
        image: The image that it belongs to. A mask that has no orientation itself and fits the image only as that is
            stored, on its side, is turned with it.

    Returns:
        Integers of (height, width), or (height, width, 3) of colours.

    Raises:
        UserError: When the file cannot be read as an image, has another size than `image`, or has pixels that are not
            whole numbers.
    """
    import numpy

    with _opened(path, MASKS) as mask:
        turned = mask.getexif().get(ORIENTATION, 1) if mask.format != "PNG" else 1
        _turn_upright(mask)
        if image is not None:
            with _opened(image, ACCEPTED, load=False) as other:
                orientation, stored = other.getexif().get(ORIENTATION, 1), other.size
            shown = stored[::-1] if orientation in range(5, 9) else stored
            if mask.size != shown and mask.size == stored and turned == 1:
                mask = _turned(mask, orientation)
            if mask.size != shown:
                found = f"{mask.size[0]} x {mask.size[1]} pixels, but the image {image} has {shown[0]} x {shown[1]}"
                raise UserError(f"{path}: the mask has {found}", "a mask has the size of its image")
        if mask.mode == "F":
            raise UserError(f"{path}: the pixels of a mask must be whole numbers, got floats", MASKS)
        if mask.mode in ("LA", "1"):
            mask = mask.convert("L")
        elif mask.mode not in ("L", "P", *_CEILINGS):
            mask = mask.convert("RGB")
        return torch.from_numpy(numpy.asarray(mask).astype("int32"))


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    from PIL import Image

    ways = Image.Transpose
    way = {5: ways.TRANSPOSE, 6: ways.ROTATE_270, 7: ways.TRANSVERSE, 8: ways.ROTATE_90}
    return image.transpose(way[orientation])


def levels(image: Image.Image) -> Tensor:
    """Returns an 8-bit image of Pillow's from 0 to 1: (height, width) of a grey one, else (height, width, 3)."""
    return _array(image) / 255


def ink(light: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Returns 0 for the ground and 1 for ink, whichever of them is dark: the border is ground.

    Args:
        light: (height, width), 0 for black to 1 for white.
    """
    border = torch.cat([light[0], light[-1], light[:, 0], light[:, -1]]).mean()
    return 1 - light if border > 0.5 else light


def image_steps(*, size: tuple[int, int], mode: str, layout: str, ground_is_zero: bool = False) -> dict[str, Any]:
    """Returns what `read_image` does, as ``Data.preprocessing`` describes it (docs/contract.md).

    Args:
        size: Height and width.
        mode: Pillow's: ``L`` for one channel, ``RGB`` for three.
        layout: Axes of one example: ``HW`` or ``CHW``.
        ground_is_zero: Whether `ink` comes last.
    """
    channels = 1 if mode == "L" else 3
    return {
        "field": "inputs",
        "from": "image",
        "orientation": "exif",
        "background": "white",
        "mode": mode,
        "size": list(size),
        "resample": "box",
        "scale": 1 / 255,
        "scale_16bit": 1 / 65535,
        "mean": [0.0] * channels,
        "std": [1.0] * channels,
        "ground": 0 if ground_is_zero else None,
        "layout": layout,
    }


def pillow() -> ModuleType:
    """Returns ``PIL.Image``. Raises `UserError` where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        raise UserError("images need Pillow", 'pip install "recursion-kit[digits]"') from None
    logging.getLogger("PIL").addHandler(_QUIET)  # its messages about damaged files are in the error
    return Image


def _array(image: Image.Image) -> Tensor:
    import numpy

    return torch.from_numpy(numpy.asarray(image, dtype="float32").copy())


def _decoded(path: Path, hint: str) -> Image.Image:
    """Returns the upright image in RGB; in mode F, from 0 to 1, where its pixels have more than 8 bits."""
    with _opened(path, hint) as image:
        _turn_upright(image)
        return _unit(path, image) if image.mode in _CEILINGS else _on_white(image)


@contextlib.contextmanager
def _opened(path: Path, hint: str, load: bool = True) -> Iterator[Image.Image]:
    """Opens an image, as it is stored. Raises `UserError` for whatever is wrong with the file.

    Args:
        path: The file.
        hint: What to give instead.
        load: Whether the pixels are decoded.
    """
    pil = pillow()
    _check_file(path, hint)
    pil.init()
    formats = [name for name in FORMATS if name in pil.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, on odd metadata and many pixels
            with _open(path, formats) as image:
                _check_size(path, image)
                if load:
                    image.load()
                    _check_size(path, image)
                yield image
    except UserError:
        raise
    except pil.UnidentifiedImageError:
        raise UserError(f"{path}: cannot identify the format of the image", hint) from None
    except pil.DecompressionBombError:  # Pillow's own bound, which is higher
        raise _too_many(path, "its") from None
    except Exception as error:  # every format's decoder raises its own: SyntaxError, struct.error, EOFError, ...
        raise UserError(f"{path}: the image cannot be decoded: {_reason(error)}", hint) from None


def _open(path: Path, formats: list[str]) -> Image.Image:
    """Opens an image with Pillow, undecoded.

    Pillow's own decoder of uncompressed TIFF mixes up the rows of an image that is stored on its side: that of libtiff
    decodes those.
    """
    from PIL import Image, TiffImagePlugin

    image = Image.open(path, formats=formats)
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.tag_v2.get(ORIENTATION, 1) < 5:
        return image
    image.close()
    before, TiffImagePlugin.READ_LIBTIFF = TiffImagePlugin.READ_LIBTIFF, True
    try:
        return Image.open(path, formats=formats)
    finally:
        TiffImagePlugin.READ_LIBTIFF = before


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    return text[:200] or type(error).__name__


def _check_file(path: Path, hint: str) -> None:
    """Raises `UserError` for anything but a regular file: opening a pipe would wait for ever."""
    try:
        found = path.stat()
    except FileNotFoundError:
        link = "a link to a file that does not exist" if path.is_symlink() else "no such file"
        raise UserError(f"{path}: {link}", hint) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {_reason(error)}", hint) from None
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: {'a folder' if stat.S_ISDIR(found.st_mode) else 'not a regular file'}", hint)
    if not found.st_size:
        raise UserError(f"{path}: the file is empty", hint)


def _check_size(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if not width * height:
        raise UserError(f"{path}: the image has no pixels", f"it is {width} x {height}")
    if width * height > MAX_PIXELS:
        raise _too_many(path, f"{width} x {height}")


def _too_many(path: Path, size: str) -> UserError:
    return UserError(f"{path}: {size} pixels are too many: an image may have {MAX_PIXELS}", "make the image smaller")


def _turn_upright(image: Image.Image) -> None:
    """Rotates the image by its EXIF orientation; leaves it unchanged if the EXIF data is damaged."""
    from PIL import ImageOps

    with contextlib.suppress(Exception):  # whatever the parser of metadata raises: the pixels are there all the same
        ImageOps.exif_transpose(image, in_place=True)


def _on_white(image: Image.Image) -> Image.Image:
    """Returns the image in RGB, on white where it is transparent."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    from PIL import Image

    image = image if image.mode == "RGBA" else image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _unit(path: Path, image: Image.Image) -> Image.Image:
    """Returns an image of integers or floats in mode F, from 0 to 1. Raises `UserError` for other values."""
    import numpy
    from PIL import Image

    ceiling, kind, white = _CEILINGS[image.mode]
    values: Any = numpy.asarray(image)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= ceiling):  # so is NaN
        raise UserError(
            f"{path}: pixels that are {kind} must be within 0 to {white}, got {low:g} to {high:g}",
            f"scale the image: 0 is black, {white} is white",
        )
    scaled = values.astype("float32") / numpy.float32(ceiling)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        scaled[values == transparent] = 1
    return Image.fromarray(scaled)
