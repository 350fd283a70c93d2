"""Sound files: WAV to numbers, folders of them, and published recordings."""

from __future__ import annotations

import hashlib
import io
import tarfile
import wave
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rk import UserError
from rk.files import damaged, data_folder, fetch
from rk.reading import read_bytes
from rk_sequence.labelled import Example

_SCALES = {1: 128.0, 2: 32768.0, 3: 8388608.0, 4: 2147483648.0}
"""Bytes of a sample -> the number that is 1."""

FSDD_COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
FSDD = f"https://codeload.github.com/Jakobovski/free-spoken-digit-dataset/tar.gz/{FSDD_COMMIT}"
FSDD_CONTENT = "45a9b976ba3397a2fd5c70a9f2e43c34f442a3a6be47392ecfc41174b678f37e"
"""SHA-256 over the names and contents of all recordings, in the order of their names."""
TESTED_TAKES = 5
"""The first takes of every digit and speaker are the published test set."""


def read_wav(source: Path | bytes, rate: int, shown: str | None = None) -> Float[Tensor, "time 1"]:
    """Returns the samples of a WAV file, from -1 to 1, the mean of its channels, at a given rate.

    Args:
        source: The file, or its bytes: PCM of 8, 16, 24 or 32 bits.
        rate: Samples per second. A file with more has them averaged over the width of one, one with fewer is
            interpolated linearly.
        shown: What the file is called in messages.

    Raises:
        UserError: When it is another file, or has no samples.
    """
    shown = shown or str(source)
    data = source if isinstance(source, bytes) else read_bytes(source)
    try:
        with wave.open(io.BytesIO(data)) as file:
            width, channels, own = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise UserError(f"{shown}: expected a WAV file with PCM samples, got another ({error})", "convert it") from None
    samples = _numbers(raw, width).reshape(-1, channels).mean(1)
    if not len(samples):
        raise UserError(f"{shown}: expected samples, got none")
    return torch.from_numpy(_at_rate(samples, own, rate)).float().unsqueeze(1)


def _numbers(raw: bytes, width: int) -> np.ndarray:
    if width == 1:  # unsigned
        return (np.frombuffer(raw, np.uint8).astype(np.float64) - 128) / _SCALES[1]
    if width == 3:
        parts = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        padded = np.concatenate([np.zeros((len(parts), 1), np.uint8), parts], 1)  # as 32 bits, 256 times as large
        return padded.view("<i4").ravel() / _SCALES[4]
    return np.frombuffer(raw, f"<i{width}").astype(np.float64) / _SCALES[width]


def _at_rate(samples: np.ndarray, own: int, rate: int) -> np.ndarray:
    """Returns the samples at another rate; of fewer, each is the mean over its width, so that nothing is aliased."""
    if own == rate:
        return samples
    count = max(1, round(len(samples) * rate / own))
    edges = np.arange(count + 1) * own / rate
    if rate > own:
        return np.interp(edges[:-1], np.arange(len(samples)), samples)
    total = np.concatenate([[0.0], np.cumsum(samples)])
    return np.diff(np.interp(edges, np.arange(len(total)), total)) * rate / own


def read_folder_of_sounds(folder: Path, rate: int) -> list[Example]:
    """Returns the WAV files in the subfolders of a folder, whose names are the classes.

    Raises:
        UserError: When there are none.
    """
    found = [
        Example(read_wav(file, rate), part.name, str(file))
        for part in sorted(folder.iterdir())
        if part.is_dir()
        for file in sorted(part.glob("*.[wW][aA][vV]"))
    ]
    if not found:
        raise UserError(f"{folder}: expected a folder for each class with WAV files, got none", "one folder, one class")
    return found


def spoken_digits(rate: int) -> dict[str, list[Example]]:
    """Returns the Free Spoken Digit Dataset: 3000 recordings of ten digits by six speakers, downloaded if missing.

    Args:
        rate: Samples per second; the recordings have 8000.

    Raises:
        UserError: When it cannot be had, or is another one.
    """
    packed = data_folder() / "fsdd" / "recordings.tar.xz"
    path = packed if packed.is_file() else fetch(f"fsdd/{FSDD_COMMIT}.tar.gz", FSDD, None)
    recordings = _unpacked(path)
    digest = hashlib.sha256()
    for name in sorted(recordings):
        digest.update(name.encode())
        digest.update(recordings[name])
    if digest.hexdigest() != FSDD_CONTENT:
        raise damaged(path)
    parts: dict[str, list[Example]] = {"train": [], "test": []}
    for name, data in sorted(recordings.items()):
        digit, _, take = name.removesuffix(".wav").split("_")
        split = "test" if int(take) < TESTED_TAKES else "train"
        parts[split].append(Example(read_wav(data, rate, name), digit, name))
    return parts


def _unpacked(path: Path) -> dict[str, bytes]:
    """Returns the recordings in a packed folder, by name."""
    try:
        with tarfile.open(path) as archive:
            members = [m for m in archive.getmembers() if m.isfile() and m.name.endswith(".wav")]
            return {Path(m.name).name: file.read() for m in members if (file := archive.extractfile(m)) is not None}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise damaged(path, str(error)) from None
