"""CIFAR-10, from the binary archive: the Python one holds pickles, which run code when they are read."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rk.files import damaged
from rk.images import image_steps
from rk_vision.pictures import Labelled
from rk_vision.published import PublishedPictures
from rk_vision.reading import read_colored
from rk_vision.sources import Source, verified

ARCHIVE = Source(
    "cifar10", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"
)
MEMBERS = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
RECORD = 1 + 3 * 32 * 32
"""Bytes per image: its class, then red, green and blue."""
MOST_RECORDS = 10_000
"""Images of one file."""


class CIFAR10(PublishedPictures):
    """Photographs (Krizhevsky, 2009): 50000 to learn from, 10000 to test, 32 x 32 in colour, ten classes.

    Examples:
        data: {name: cifar10, batch_size: 128}
    """

    num_features: int = 3072
    input_shape: tuple[int, ...] = (3, 32, 32)
    _all_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def _load_all(self) -> tuple[Labelled, Labelled]:
        parts = read_members(verified(ARCHIVE))
        train = [torch.cat(kind) for kind in zip(*parts[:-1], strict=True)]
        return (train[0], train[1]), parts[-1]

    def _read_picture(self, path: Path) -> Tensor:
        return read_colored(path, (32, 32))

    def preprocessing(self) -> dict[str, Any]:
        """Returns how an image becomes ``inputs``."""
        return image_steps(size=(32, 32), mode="RGB", layout="CHW")


def read_members(archive: Path) -> list[Labelled]:
    """Returns the images of the five training files and of the test file.

    Raises:
        rk.UserError: When the archive is damaged, or one of them is missing or larger than it was published.
    """
    found: dict[str, Labelled] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if name in MEMBERS and (file := tar.extractfile(member)) is not None:
                    content = file.read(MOST_RECORDS * RECORD + 1)
                    if len(content) > MOST_RECORDS * RECORD:
                        raise ValueError(f"{name} is larger than it was published")
                    found[name] = parse_records(content)
    except (OSError, EOFError, ValueError, KeyError, RecursionError, tarfile.TarError, zlib.error) as error:
        raise damaged(archive, str(error)) from None
    if missing := next((name for name in MEMBERS if name not in found), None):
        raise damaged(archive, f"{missing} is missing")
    return [found[name] for name in MEMBERS]


def parse_records(content: bytes) -> Labelled:
    """Returns images of (n, 3, 32, 32) and their classes.

    Raises:
        ValueError: When the content is cut short or has a class beyond the ten.
    """
    if not content or len(content) % RECORD:
        raise ValueError(f"{len(content)} bytes are not a whole number of images")
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, RECORD)
    if int(records[:, 0].max()) > 9:
        raise ValueError(f"a class is {int(records[:, 0].max())}: there are 0 to 9")
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()
