"""The stated steps are enough: Pillow and numpy, by the keys of docs/contract.md, give what `read` does."""

from __future__ import annotations

import json

import numpy
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from rk_vision.cifar import CIFAR10
from rk_vision.folder import ImageFolder
from rk_vision.mnist import MNIST, FashionMNIST


def read_plainly(file, steps):
    """Follows the table of docs/contract.md, key by key."""
    assert steps["orientation"] == "exif"
    image = ImageOps.exif_transpose(Image.open(file))
    deep = image.mode.startswith("I")  # 16 bits, in grey
    if deep:
        image = Image.fromarray((numpy.asarray(image) * steps["scale_16bit"]).astype("float32"))
        return finish(image, steps, 1.0)
    image = image.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, steps["background"]), image).convert("RGB")
    return finish(image.convert(steps["mode"]), steps, steps["scale"])


def finish(image, steps, scale):
    digit = steps.get("digit")
    if digit is None:
        image = image.resize(steps["size"][::-1], Image.Resampling[steps["resample"].upper()])
    elif max(image.size) > digit["max_side"]:
        image.thumbnail((digit["max_side"], digit["max_side"]))
    x = numpy.asarray(image, "float32") * scale
    x = numpy.stack([x] * 3, -1) if x.ndim == 2 and steps["mode"] == "RGB" else x
    x = (x - numpy.array(steps["mean"])) / numpy.array(steps["std"])
    x = x[..., 0] if x.ndim == 3 and steps["mode"] == "L" else x
    if steps["ground"] == 0:
        border = numpy.concatenate([x[0], x[-1], x[:, 0], x[:, -1]])
        x = 1 - x if border.mean() > 0.5 else x
    if digit is not None:
        x = cut_out(x, digit, steps["size"])
    if steps["layout"] == "CHW":
        x = x[None] if x.ndim == 2 else numpy.moveaxis(x, -1, 0)
    return x[None].astype("float32")


def cut_out(x, digit, size):
    down, across = (numpy.nonzero((x > digit["above"]).any(axis))[0] for axis in (1, 0))
    x = x[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    scale = digit["fit"] / max(x.shape)
    height, width = (max(1, round(side * scale)) for side in x.shape)
    small = Image.fromarray(x.astype("float32")).resize((width, height), Image.Resampling[digit["resample"].upper()])
    x = numpy.asarray(small).clip(0, 1)
    frame = numpy.zeros(size)
    corner = []
    for axis, (side, whole) in enumerate(zip(x.shape, size, strict=True)):
        mass = x.sum(1 - axis)
        middle = (mass * numpy.arange(side)).sum() / mass.sum()
        corner.append(min(max(0, round((whole - 1) / 2 - middle)), whole - side))
    frame[corner[0] : corner[0] + x.shape[0], corner[1] : corner[1] + x.shape[1]] = x
    return frame


@pytest.fixture(params=["white", "black", "transparent", "large", "on its side", "16 bits"])
def file(request, tmp_path):
    size = (1300, 900) if request.param == "large" else (45, 61)
    ground = {"transparent": (0, 0, 0, 0), "black": "black"}.get(request.param, "white")
    image = Image.new("RGBA", size, ground)
    pen = ImageDraw.Draw(image)
    pen.ellipse((size[0] // 4, size[1] // 5, size[0] // 2, size[1] // 2), fill=(200, 90, 30, 255))
    pen.line((size[0] // 3, size[1] // 3, size[0] // 2, size[1] * 3 // 4), fill=(90, 140, 210, 255), width=size[0] // 9)
    if request.param == "16 bits":
        image = Image.fromarray(numpy.asarray(image.convert("L")).astype("uint16") * 257)
    exif = Image.Exif()
    exif[0x0112] = 6 if request.param == "on its side" else 1
    image.save(tmp_path / "image.png", exif=exif)
    return tmp_path / "image.png"


def folder(**settings):
    data = ImageFolder(folder="cats", seed=0, **settings)
    data.load_state_dict({"classes": ["cat", "dog"]})
    return data


@pytest.mark.parametrize(
    "data",
    [MNIST(seed=0), FashionMNIST(seed=0), CIFAR10(seed=0), folder(size=(20, 12)), folder(size=(9, 16), channels=1)],
    ids=["mnist", "fashion-mnist", "cifar10", "folder", "grey-folder"],
)
def test_a_file_becomes_inputs_by_the_stated_steps_alone(data, file):
    steps = json.loads(json.dumps(data.preprocessing()))
    found = torch.from_numpy(read_plainly(file, steps))
    torch.testing.assert_close(found, data.read(file)["inputs"], atol=2e-3, rtol=0)


def test_classes_have_their_names():
    assert MNIST(seed=0).labels == tuple("0123456789")
    assert FashionMNIST(seed=0).labels[9] == "ankle boot" and CIFAR10(seed=0).labels[0] == "airplane"
    assert folder().labels == ("cat", "dog")
