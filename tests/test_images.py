"""Reading images: the rules for each kind of pixel, what is refused, and that nothing but an error comes of rubbish."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import pytest
import torch

from rk import images
from rk.builtin.digits import Digits
from rk.errors import UserError
from rk.images import open_image, read_image

numpy = pytest.importorskip("numpy")
pil = pytest.importorskip("PIL.Image")

RAMP = numpy.tile(numpy.linspace(0, 1, 8), (8, 1))
"""Black at the left, white at the right."""


def noise(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(0).integers(0, 256, shape, dtype=numpy.uint8)


SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG file, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def black_png(width: int, height: int) -> bytes:
    """A black PNG of one bit a pixel, as small as it compresses."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(1 + -(-width // 8)) * height, 9)
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


# -- pixels ------------------------------------------------------------------------------------------------------------


def plain_images() -> dict[str, tuple[pil.Image, dict]]:
    rgb, rgba = pil.fromarray(noise(7, 9, 3)), pil.fromarray(noise(7, 9, 4))
    return {
        "grey.png": (rgb.convert("L"), {}),
        "grey-transparent.png": (rgb.convert("L"), {"transparency": 77}),
        "grey-alpha.png": (rgba.convert("LA"), {}),
        "colour.png": (rgb, {}),
        "alpha.png": (rgba, {}),
        "bits.png": (rgb.convert("1"), {}),
        "palette.png": (rgb.quantize(16), {}),
        "palette-transparent.gif": (rgb.quantize(16), {"transparency": 3}),
        "photo.jpg": (rgb, {}),
        "print.jpg": (rgb.convert("CMYK"), {}),
        "print.tif": (rgb.convert("CMYK"), {}),
        "colour.bmp": (rgb, {}),
        "animated.gif": (rgb.quantize(16), {"save_all": True, "append_images": [rgb.quantize(4)]}),
    }


@pytest.mark.parametrize("name", plain_images())
def test_8_bit_images_are_their_bytes_on_white_divided_by_255(tmp_path, name):
    image, settings = plain_images()[name]
    image.save(tmp_path / name, **settings)
    first = pil.open(tmp_path / name).convert("RGBA")
    expected = pil.alpha_composite(pil.new("RGBA", first.size, "white"), first).convert("RGB")
    assert numpy.array_equal(numpy.asarray(open_image(tmp_path / name)), numpy.asarray(expected))
    small = numpy.asarray(expected.resize((3, 4), pil.Resampling.BOX), dtype="float32") / 255
    assert torch.equal(read_image(tmp_path / name, 3, (4, 3)), torch.from_numpy(small).movedim(-1, 0))
    grey = numpy.asarray(expected.convert("L"), dtype="float32") / 255
    assert torch.equal(read_image(tmp_path / name, 1), torch.from_numpy(grey).unsqueeze(0))


@pytest.mark.parametrize(
    ("name", "kind", "white"),
    [
        ("deep.png", "uint16", 65535),
        ("deep.tif", "uint16", 65535),
        ("big-endian.tif", ">u2", 65535),
        ("integers.tif", "int32", 65535),
        ("floats.tif", "float32", 1),
    ],
)
def test_deeper_grey_is_divided_by_its_white(tmp_path, name, kind, white):
    pil.fromarray((RAMP * white).astype(kind)).save(tmp_path / name)
    expected = torch.from_numpy((RAMP * white).astype(kind).astype("float32") / white)
    for channels in (1, 3):
        torch.testing.assert_close(read_image(tmp_path / name, channels), expected.repeat(channels, 1, 1))
    shrunk = read_image(tmp_path / name, 1, (1, 2))[0, 0]
    torch.testing.assert_close(shrunk, torch.stack([expected[0, :4].mean(), expected[0, 4:].mean()]))
    opened = images.levels(open_image(tmp_path / name))
    torch.testing.assert_close(opened[..., 0], expected, atol=0.5 / 255 + 1e-6, rtol=0)


def test_a_transparent_16_bit_level_is_white(tmp_path):
    pil.fromarray(numpy.array([[0, 30000]], dtype="uint16")).save(tmp_path / "deep.png", transparency=0)
    torch.testing.assert_close(read_image(tmp_path / "deep.png", 1)[0, 0], torch.tensor([1.0, 30000 / 65535]))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[0, 255.0]], "floats must be within 0 to 1, got 0 to 255"),
        ([[-0.5, 1.0]], "floats must be within 0 to 1, got -0.5 to 1"),
        ([[0.0, float("nan")]], "floats must be within 0 to 1, got nan to nan"),
    ],
)
def test_floats_beyond_0_to_1_are_refused(tmp_path, values, said):
    pil.fromarray(numpy.array(values, dtype="float32")).save(tmp_path / "floats.tif")
    with pytest.raises(UserError, match=rf"floats\.tif: .*{said}") as caught:
        read_image(tmp_path / "floats.tif", 1)
    assert "0 is black, 1 is white" in caught.value.hint


@pytest.mark.parametrize("values", [[[-1, 5]], [[0, 65536]]], ids=["negative", "32 bits"])
def test_integers_beyond_16_bits_are_refused(tmp_path, values):
    pil.fromarray(numpy.array(values, dtype="int32")).save(tmp_path / "integers.tif")
    with pytest.raises(UserError, match="integers must be within 0 to 65535"):
        open_image(tmp_path / "integers.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["photo.jpg", "drawing.png", "scan.tif"])
def test_images_are_rotated_by_their_orientation(tmp_path, name, orientation):
    upright = pil.fromarray(noise(16, 24)).resize((96, 64), pil.Resampling.NEAREST)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's Transpose that stores what is upright
    stored = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = pil.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / name, exif=exif)
    found = read_image(tmp_path / name, 1)[0]
    assert found.shape == (64, 96)
    assert (found - images.levels(upright)).abs().mean() < 0.02  # JPEG loses a little


def test_damaged_metadata_does_not_keep_an_image_from_being_read(tmp_path):
    pil.fromarray(noise(8, 8)).save(tmp_path / "odd.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_image(tmp_path / "odd.jpg", 3).shape == (3, 8, 8)


def test_digits_read_16_bits_as_8(tmp_path):
    strokes = noise(8, 8) // 2
    strokes[0] = strokes[-1] = 0
    pil.fromarray(strokes).save(tmp_path / "a.png")
    pil.fromarray(strokes.astype("uint16") * 257).save(tmp_path / "b.png")
    read = [Digits(seed=0).read(tmp_path / name)["inputs"] for name in ("a.png", "b.png")]
    torch.testing.assert_close(read[0], read[1])


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(black_png(8192, 8193))
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match=r"bomb\.png: 8192 x 8193 pixels are too many: an image may have 67108864"):
        read_image(path, 3, (8, 8))
    path.write_bytes(black_png(2**30, 1))
    with pytest.raises(UserError, match="pixels are too many"):
        read_image(path, 3, (8, 8))


def test_files_that_are_not_images_are_refused_each_with_its_reason(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "drawing.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    pil.fromarray(noise(64, 64, 3)).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name, reason in {
        "empty.png": "the file is empty",
        "text.png": "cannot identify the format of the image",
        "folder.png": "a folder",
        "dangling.png": "a link to a file that does not exist",
        "gone.png": "no such file",
        "pipe.png": "not a regular file",
        "drawing.png": "cannot identify the format of the image",
        "cut.png": "the image cannot be decoded: image file is truncated",
    }.items():
        with pytest.raises(UserError) as caught:
            read_image(tmp_path / name, 3)
        assert caught.value.message.startswith(f"{tmp_path / name}: {reason}")
        assert caught.value.hint == images.ACCEPTED


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut out, repeated or cut off."""
    data = bytearray(content)
    for _ in range(chance.randint(0, 6)):
        place = chance.randrange(len(data) or 1)
        match chance.randrange(4):
            case 0:
                data[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[place : place + chance.randint(1, 9)]
            case 2:
                data[place:place] = data[place : place + chance.randint(1, 40)]
            case 3:
                data[place : place + 4] = struct.pack(">I", chance.choice([0, 1, 255, 65536, 2**31 - 1, 2**32 - 1]))
    changed = bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data)
    return with_checksums(changed) if changed.startswith(SIGNATURE) and chance.random() < 0.7 else changed


def with_checksums(content: bytes) -> bytes:
    """A changed PNG whose checksums are right again: the decoder looks at what has changed."""
    parts, place = [SIGNATURE], len(SIGNATURE)
    while place + 12 <= len(content):
        length = min(struct.unpack(">I", content[place : place + 4])[0], len(content) - place - 12)
        parts.append(chunk(content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return b"".join(parts)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "gif", "webp", "bmp", "palette.png", "deep.png"])
def test_damaged_images_give_values_or_the_users_error(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(images, "MAX_PIXELS", 2**16)  # what a changed header declares is not worth the time
    image = pil.fromarray(noise(12, 15, 3))
    if ending == "palette.png":
        image = image.quantize(8)
    if ending == "deep.png":
        image = pil.fromarray(noise(12, 15).astype("uint16") * 257)
    exif = pil.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.rpartition(".")[2].upper()), exif=exif)
    chance, path, seen = random.Random(ending), tmp_path / f"x.{ending}", set()
    for _ in range(120):
        path.write_bytes(mutated(buffer.getvalue(), chance))
        try:
            values = read_image(path, 3, (4, 4))
        except UserError as error:
            assert error.message.startswith(f"{path}: ")
            seen.add("refused")
        else:
            assert values.shape == (3, 4, 4) and values.min() >= 0 and values.max() <= 1
            seen.add("read")
    assert seen == {"refused", "read"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        ("1,2,3\n", "digits.csv:1: expected 64 numbers, got 3"),
        (
            ",".join(["0"] * 64) + "\n\n" + ",".join(["0"] * 63 + ["x"]),
            "digits.csv:3: column 64: expected a number, got 'x'",
        ),
        (",".join(["0"] * 63 + ["17"]), "digits.csv:1: column 64: numbers must be from 0 to 16, got 17"),
        (",".join(["0"] * 63 + ["nan"]), "digits.csv:1: column 64: expected a finite number, got 'nan'"),
    ],
)
def test_a_table_of_digits_names_the_line_that_is_wrong(tmp_path, content, said):
    (tmp_path / "digits.csv").write_text(content)
    with pytest.raises(UserError, match=said):
        Digits(seed=0).read(tmp_path / "digits.csv")


def test_a_table_of_digits_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "digits.csv").write_text(",".join(["16"] * 64), encoding="utf-8-sig")
    assert Digits(seed=0).read(tmp_path / "digits.csv")["inputs"].eq(1).all()


def test_the_old_names_are_those_of_the_new_modules():
    from rk import sheets
    from rk.builtin import pictures

    assert (pictures.open_picture, pictures.draw_sheet) == (images.open_image, sheets.draw_sheet)


def test_without_pillow_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(UserError, match="images need Pillow") as caught:
        read_image(Path("x.png"), 1)
    assert "pip install" in caught.value.hint
