"""MNIST and Fashion-MNIST, from their IDX files."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from torch import Tensor

from rk.files import damaged
from rk.images import image_steps
from rk_vision.idx import parse_idx
from rk_vision.pictures import Labelled
from rk_vision.published import PublishedPictures
from rk_vision.reading import DIGIT_STEPS, FRAME, read_digit, read_grey
from rk_vision.sources import Source, read_gzip

PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _sources(folder: str, home: str, md5: tuple[str, ...], content_md5: tuple[str | None, ...]) -> tuple[Source, ...]:
    return tuple(
        Source(folder, f"{home}/{part}.gz", published, content)
        for part, published, content in zip(PARTS, md5, content_md5, strict=True)
    )


@functools.lru_cache(maxsize=4)  # a sweep reads the four files of one data set again and again
def _parsed(source: Source, changed: int) -> Tensor:
    """Returns the content of a file, which is never written to; `changed` is the time of its last change."""
    try:
        return parse_idx(read_gzip(source))
    except ValueError as error:
        raise damaged(source.fetch(), str(error)) from None


class _IDXPictures(PublishedPictures):
    """Four IDX files of grey images, 28 x 28, in ten classes."""

    num_features: int = 784
    input_shape: tuple[int, ...] = (1, 28, 28)
    _sources: tuple[Source, ...]

    def _load_all(self) -> tuple[Labelled, Labelled]:
        images, targets, test_images, test_targets = (self._parse(source) for source in self._sources)
        return (images.unsqueeze(1), targets.long()), (test_images.unsqueeze(1), test_targets.long())

    def _parse(self, source: Source) -> Tensor:
        return _parsed(source, source.fetch().stat().st_mtime_ns)


class MNIST(_IDXPictures):
    """Handwritten digits (LeCun, Cortes and Burges, 1998): 60000 images to learn from, 10000 to test, 28 x 28.

    Examples:
        data: {name: mnist, train_limit: 10000}
    """

    _all_names = tuple("0123456789")
    _sources = _sources(
        "mnist",
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        (
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    )

    def _read_picture(self, path: Path) -> Tensor:
        return read_digit(path)

    def preprocessing(self) -> dict[str, Any]:
        """Returns how an image becomes ``inputs``: as `read_digit` does it."""
        return {**image_steps(size=(FRAME, FRAME), mode="L", layout="CHW", ground_is_zero=True), "digit": DIGIT_STEPS}


class FashionMNIST(_IDXPictures):
    """Clothes (Xiao, Rasul and Vollgraf, arXiv:1708.07747): 60000 images to learn from, 10000 to test, 28 x 28.

    Examples:
        data: {name: fashion-mnist, train_limit: 10000}
    """

    _all_names = (
        "t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    _sources = _sources(
        "fashion-mnist",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        (None, None, None, None),
    )

    def _read_picture(self, path: Path) -> Tensor:
        return read_grey(path, (28, 28))

    def preprocessing(self) -> dict[str, Any]:
        """Returns how an image becomes ``inputs``."""
        return image_steps(size=(28, 28), mode="L", layout="CHW", ground_is_zero=True)
